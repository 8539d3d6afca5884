// SPDX-License-Identifier: Apache-2.0
#include "replay/cpu_rank.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "kernels/memory.h"

namespace dbsp::replay {
namespace {

constexpr float kPoison = std::numeric_limits<float>::quiet_NaN();

void Poison(std::vector<float>& memory) { std::fill(memory.begin(), memory.end(), kPoison); }

}  // namespace

CpuRank::CpuRank(const Cell& cell, int rank)
    : Rank(MakeRankBuffers(cell, rank, BlockLayout::kTight)),
      kernel_(&kernels::FindCpuAttention(cell.strategy.kernel)),
      home_in_(Index(3 * buffers().home_elements)),
      home_out_(Index(buffers().home_elements)),
      blocks_(Index(buffers().block_elements())),
      o_(Index(buffers().row_elements())),
      lse_(Index(buffers().row_slots * cell.shape.block.q)),
      part_o_(cell.is_ring() ? o_.size() : 0),
      part_lse_(cell.is_ring() ? lse_.size() : 0) {
  for (const std::int64_t size : buffers().staging_elements) staging_.emplace_back(Index(size));
  for (const std::int64_t size : buffers().send_elements) send_.emplace_back(Index(size));
  for (const std::int64_t size : buffers().recv_elements) recv_.emplace_back(Index(size));
  PrepareCalls();
  Reset();
}

void CpuRank::Fill() {
  const Cell& cell = *buffers().cell;
  const auto dim = static_cast<std::size_t>(cell.shape.head_dim);
  float* out = home_in_.data();
  for (const planner::Tensor tensor :
       {planner::Tensor::kQ, planner::Tensor::kK, planner::Tensor::kV}) {
    for (std::int64_t token = 0; token < buffers().local_tokens; ++token) {
      for (int head = 0; head < cell.shape.heads; ++head, out += dim) {
        FillRow(cell.key, tensor, head, buffers().first_token + token, {out, dim});
      }
    }
  }
}

std::span<std::byte> CpuRank::KvBytes(int step) {
  return std::as_writable_bytes(std::span(Kv(step), Index(buffers().steps[Index(step)].elements)));
}

void CpuRank::PoisonMemory() {
  for (std::vector<float>* memory : {&home_out_, &blocks_, &o_, &lse_, &part_o_, &part_lse_}) {
    Poison(*memory);
  }
  for (auto* memories : {&staging_, &send_, &recv_}) {
    for (std::vector<float>& memory : *memories) Poison(memory);
  }
  // A kernel may read the padding of a short block. Zeros keep NaN out of its results.
  const std::int64_t slot = buffers().slot_elements();
  for (const HeadSlots& slots : buffers().slots) {
    for (std::size_t r = 0; r < slots.q_tokens.size(); ++r) {
      float* first = blocks_.data() + (slots.first + static_cast<std::int64_t>(r)) * slot;
      std::fill(first + std::int64_t{slots.q_tokens[r]} * buffers().cell->shape.head_dim,
                first + slot,
                0.0F);
    }
  }
  ClearSlack(0);
  const int steps = static_cast<int>(buffers().steps.size());
  for (int step = 1; buffers().cell->chunked() && step < steps; ++step) ClearSlack(step);
}

void CpuRank::ClearSlack(int step) {
  float* end = Kv(step) + buffers().steps[Index(step)].elements;
  const AttentionShape& shape = buffers().cell->shape;
  std::fill_n(end, static_cast<std::int64_t>(shape.block.k) * shape.head_dim, 0.0F);
}

float* CpuRank::Base(const RoundMemory& memory) {
  switch (memory.memory) {
    case RankMemory::kHomeIn:
      return home_in_.data();
    case RankMemory::kHomeOut:
      return home_out_.data();
    case RankMemory::kBlocks:
      return blocks_.data();
    case RankMemory::kResult:
      return o_.data();
    case RankMemory::kStaging:
      break;
  }
  return staging_[Index(memory.index)].data();
}

void CpuRank::PackBlocks(int round) {
  const RoundMemory from = buffers().MemoryOf(round, true);
  const int dim = buffers().cell->shape.head_dim;
  kernels::CopyBlocks(Base(from),
                      from.stride,
                      send_[buffers().BufferOf(round)].data(),
                      dim,
                      dim,
                      buffers().rounds[Index(round)].pack);
}

void CpuRank::UnpackBlocks(int round) {
  const RoundMemory to = buffers().MemoryOf(round, false);
  const int dim = buffers().cell->shape.head_dim;
  kernels::CopyBlocks(recv_[buffers().BufferOf(round)].data(),
                      dim,
                      Base(to),
                      to.stride,
                      dim,
                      buffers().rounds[Index(round)].unpack);
}

kernels::AttentionArgs CpuRank::ArgsOf(int step, std::size_t head) {
  const AttentionShape& shape = buffers().cell->shape;
  const HeadCall& call = buffers().steps[Index(step)].head[head];
  const HeadSlots& slots = buffers().slots[head];
  const float* kv = Kv(step);
  kernels::AttentionArgs args;
  args.head_dim = shape.head_dim;
  args.block = shape.block;
  args.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(shape.head_dim)));
  args.q_blocks = static_cast<int>(slots.q_tokens.size());
  args.k_blocks = static_cast<int>(call.k_tokens.size());
  args.q = blocks_.data() + slots.first * buffers().slot_elements();
  args.k = kv + call.k;
  args.v = kv + call.v;
  args.q_tokens = slots.q_tokens;
  args.k_tokens = call.k_tokens;
  args.list_begin = call.list_begin;
  args.list = call.list;
  return args;
}

void CpuRank::PrepareCalls() {
  if (kernel_->plugin == nullptr) return;
  if (buffers().cell->is_ring() && !kernel_->plugin->Has(DBSP_KERNEL_LSE)) {
    Fail(ErrorCode::kMismatch,
         "kernel {} writes no log-sum-exp, so that the partial results of a ring cannot be merged; "
         "plan with --families ulysses, or choose another kernel with --kernel",
         kernel_->name);
  }
  for (int step = 0; step < static_cast<int>(buffers().steps.size()); ++step) {
    auto& calls = prepared_.emplace_back(buffers().slots.size());
    for (const std::size_t h : buffers().steps[Index(step)].heads) {
      if (buffers().slots[h].q_tokens.empty()) continue;
      calls[h] = std::make_unique<const kernels::PluginCall>(*kernel_->plugin, ArgsOf(step, h), 1);
    }
  }
}

void CpuRank::RunAttention(int step) {
  const AttentionShape& shape = buffers().cell->shape;
  const bool whole = step == 0 || buffers().cell->chunked();
  std::vector<float>& o = whole ? o_ : part_o_;
  std::vector<float>& lse = whole ? lse_ : part_lse_;
  for (const std::size_t h : buffers().steps[Index(step)].heads) {
    const HeadSlots& slots = buffers().slots[h];
    if (slots.q_tokens.empty()) continue;  // the head only passes K/V on
    kernels::AttentionArgs args = ArgsOf(step, h);
    args.o = o.data() + slots.first * buffers().slot_elements();
    args.lse = lse.data() + slots.first * shape.block.q;
    if (prepared_.empty()) {
      kernel_->run(args);
    } else {
      prepared_[Index(step)][h]->Launch(args.q, args.k, args.v, args.o, args.lse);
    }
  }
}

void CpuRank::RunMerge(int step) {
  const AttentionShape& shape = buffers().cell->shape;
  const StepPlan& of_step = buffers().steps[Index(step)];
  for (const std::size_t h : of_step.heads) {
    const HeadCall& call = of_step.head[h];
    const HeadSlots& slots = buffers().slots[h];
    for (std::size_t r = 0; r < slots.q_tokens.size(); ++r) {
      if (call.list_begin[r] == call.list_begin[r + 1]) continue;  // adds nothing
      const std::int64_t row = (slots.first + static_cast<std::int64_t>(r)) * shape.block.q;
      kernels::MergePartial(slots.q_tokens[r],
                            shape.head_dim,
                            o_.data() + row * shape.head_dim,
                            lse_.data() + row,
                            part_o_.data() + row * shape.head_dim,
                            part_lse_.data() + row);
    }
  }
}

std::span<const float> CpuRank::Output(int head, std::int64_t token) const {
  const AttentionShape& shape = buffers().cell->shape;
  const auto dim = static_cast<std::size_t>(shape.head_dim);
  const std::int64_t row = (token - buffers().first_token) * shape.heads + head;
  return std::span<const float>(home_out_).subspan(Index(row) * dim, dim);
}

}  // namespace dbsp::replay
