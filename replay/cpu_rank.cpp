// SPDX-License-Identifier: Apache-2.0
#include "replay/cpu_rank.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace dbsp::replay {
namespace {

constexpr float kPoison = std::numeric_limits<float>::quiet_NaN();

std::size_t Index(std::int64_t value) { return static_cast<std::size_t>(value); }

void Poison(std::vector<float>& memory) { std::fill(memory.begin(), memory.end(), kPoison); }

}  // namespace

CpuRank::CpuRank(const Cell& cell, int rank)
    : Rank(MakeRankPlan(cell, rank, BlockLayout::kTight)),
      kernel_(&kernels::FindCpuAttention(cell.strategy.kernel)),
      home_in_(Index(3 * plan().home_elements)),
      home_out_(Index(plan().home_elements)),
      blocks_(Index(plan().block_elements())),
      o_(Index(plan().row_elements())),
      lse_(Index(plan().row_slots * cell.shape.block.q)),
      part_o_(cell.turns() ? o_.size() : 0),
      part_lse_(cell.turns() ? lse_.size() : 0) {
  for (const std::int64_t size : plan().between_elements) between_.emplace_back(Index(size));
  for (const std::int64_t size : plan().send_elements) send_.emplace_back(Index(size));
  for (const std::int64_t size : plan().recv_elements) recv_.emplace_back(Index(size));
  Reset();
}

void CpuRank::Fill() {
  const Cell& cell = *plan().cell;
  const auto dim = static_cast<std::size_t>(cell.shape.head_dim);
  float* out = home_in_.data();
  for (const planner::Tensor tensor :
       {planner::Tensor::kQ, planner::Tensor::kK, planner::Tensor::kV}) {
    for (std::int64_t token = 0; token < plan().local_tokens; ++token) {
      for (int head = 0; head < cell.shape.heads; ++head, out += dim) {
        FillRow(cell.key, tensor, head, plan().first_token + token, {out, dim});
      }
    }
  }
}

void CpuRank::PoisonMemory() {
  for (std::vector<float>* memory : {&home_out_, &blocks_, &o_, &lse_, &part_o_, &part_lse_}) {
    Poison(*memory);
  }
  for (auto* memories : {&between_, &send_, &recv_}) {
    for (std::vector<float>& memory : *memories) Poison(memory);
  }
  // What pads a short block is never data; zero keeps it from poisoning a kernel that reads it.
  const std::int64_t slot = plan().slot_elements();
  for (const HeadSlots& slots : plan().slots) {
    for (std::size_t r = 0; r < slots.q_tokens.size(); ++r) {
      float* first = blocks_.data() + (slots.first + static_cast<std::int64_t>(r)) * slot;
      std::fill(first + std::int64_t{slots.q_tokens[r]} * plan().cell->shape.head_dim,
                first + slot,
                0.0F);
    }
  }
  ClearSlack(0);
  const int steps = static_cast<int>(plan().steps.size());
  for (int step = 1; plan().cell->chunked() && step < steps; ++step) ClearSlack(step);
}

void CpuRank::ClearSlack(int step) {
  float* end = KvWords(step) + plan().steps[Index(step)].elements;
  const AttentionShape& shape = plan().cell->shape;
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
  return between_[Index(memory.index)].data();
}

void CpuRank::PackBlocks(int round) {
  const RoundMemory from = plan().MemoryOf(round, true);
  const int dim = plan().cell->shape.head_dim;
  kernels::CopyBlocks(Base(from),
                      from.stride,
                      send_[plan().BufferOf(round)].data(),
                      dim,
                      dim,
                      plan().rounds[Index(round)].pack);
}

void CpuRank::UnpackBlocks(int round) {
  const RoundMemory to = plan().MemoryOf(round, false);
  const int dim = plan().cell->shape.head_dim;
  kernels::CopyBlocks(recv_[plan().BufferOf(round)].data(),
                      dim,
                      Base(to),
                      to.stride,
                      dim,
                      plan().rounds[Index(round)].unpack);
}

void CpuRank::RunAttention(int step) {
  const AttentionShape& shape = plan().cell->shape;
  const StepPlan& of_step = plan().steps[Index(step)];
  const float* kv = KvWords(step);
  const bool whole = step == 0 || plan().cell->chunked();
  std::vector<float>& o = whole ? o_ : part_o_;
  std::vector<float>& lse = whole ? lse_ : part_lse_;
  for (const std::size_t h : of_step.heads) {
    const HeadCall& call = of_step.head[h];
    const HeadSlots& slots = plan().slots[h];
    if (slots.q_tokens.empty()) continue;  // only passes K/V on
    kernels::AttentionArgs args;
    args.head_dim = shape.head_dim;
    args.block = shape.block;
    args.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(shape.head_dim)));
    args.q_blocks = static_cast<int>(slots.q_tokens.size());
    args.k_blocks = static_cast<int>(call.k_tokens.size());
    args.q = blocks_.data() + slots.first * plan().slot_elements();
    args.k = kv + call.k;
    args.v = kv + call.v;
    args.q_tokens = slots.q_tokens;
    args.k_tokens = call.k_tokens;
    args.list_begin = call.list_begin;
    args.list = call.list;
    args.o = o.data() + slots.first * plan().slot_elements();
    args.lse = lse.data() + slots.first * shape.block.q;
    kernel_->run(args);
  }
}

void CpuRank::RunMerge(int step) {
  const AttentionShape& shape = plan().cell->shape;
  const StepPlan& of_step = plan().steps[Index(step)];
  for (const std::size_t h : of_step.heads) {
    const HeadCall& call = of_step.head[h];
    const HeadSlots& slots = plan().slots[h];
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
  const AttentionShape& shape = plan().cell->shape;
  const auto dim = static_cast<std::size_t>(shape.head_dim);
  const std::int64_t row = (token - plan().first_token) * shape.heads + head;
  return std::span<const float>(home_out_).subspan(Index(row) * dim, dim);
}

std::string WorkProblem(const Cell& cell, std::span<const CpuRank> ranks) {
  return WorkProblem(cell, RanksOf(ranks));
}

}  // namespace dbsp::replay
