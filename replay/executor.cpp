// SPDX-License-Identifier: Apache-2.0
#include "replay/executor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/error.h"

namespace dbsp::replay {
namespace {

constexpr float kPoison = std::numeric_limits<float>::quiet_NaN();
constexpr std::int64_t kFloat = sizeof(float);

std::size_t Index(std::int64_t value) { return static_cast<std::size_t>(value); }

void Poison(std::vector<float>& memory) { std::fill(memory.begin(), memory.end(), kPoison); }

}  // namespace

RankExecutor::RankExecutor(const Cell& cell, int rank)
    : cell_(&cell),
      rank_(rank),
      program_(&cell.schedule.rank.at(Index(rank))),
      kernel_(&kernels::FindCpuAttention(cell.strategy.kernel)) {
  if (cell.schedule.before.empty() || cell.schedule.after.empty()) {
    Fail(
        ErrorCode::kInternal, "rank {}: the schedule has no round before or after attention", rank);
  }
  first_token_ = cell.home.begin[Index(rank)];
  local_tokens_ = cell.home.begin[Index(rank) + 1] - first_token_;
  PlanRows();
  PlanSteps();
  PlanRounds();
  Reset();
}

std::int64_t RankExecutor::SlotFloats() const {
  return static_cast<std::int64_t>(cell_->shape.block.q) * cell_->shape.head_dim;
}

void RankExecutor::PlanRows() {
  std::int64_t slots = 0;
  for (const planner::HeadRows& head : program_->heads) {
    HeadSlots entry{.first = slots, .q_tokens = {}};
    for (const int row : head.rows) entry.q_tokens.push_back(cell_->shape.q_tokens(row));
    slots += static_cast<std::int64_t>(head.rows.size());
    slots_.push_back(std::move(entry));
  }
  const std::int64_t local = local_tokens_ * cell_->shape.heads * cell_->shape.head_dim;
  home_in_.resize(Index(3 * local));
  home_out_.resize(Index(local));
  const std::int64_t local_rows = (local_tokens_ + cell_->shape.block.q - 1) / cell_->shape.block.q;
  writes_.resize(Index(local_rows * cell_->shape.heads));
  o_.resize(Index(slots * SlotFloats()));
  lse_.resize(Index(slots * cell_->shape.block.q));
  if (cell_->turns()) {
    part_o_.resize(o_.size());
    part_lse_.resize(lse_.size());
  }
}

void RankExecutor::PlanHead(const planner::HeadRows& rows,
                            const planner::HeadColumns& columns,
                            HeadCall& call) {
  const std::vector<int>& cols = columns.cols;
  const bool ascending = std::is_sorted(cols.begin(), cols.end(), std::less_equal<int>{});
  if (rows.head != columns.head || !ascending) {
    Fail(ErrorCode::kInternal,
         "rank {}: the columns of head {} are not those of head {} in ascending order",
         rank_,
         columns.head,
         rows.head);
  }
  for (const int col : cols) call.k_tokens.push_back(cell_->shape.k_tokens(col));
  const BlockMask& mask = *cell_->masks.head.at(Index(rows.head));
  call.list_begin.push_back(0);
  for (const int row : rows.rows) {
    for (std::size_t at = 0; at < cols.size(); ++at) {
      if (mask.Get(row, cols[at])) call.list.push_back(static_cast<int>(at));
    }
    call.list_begin.push_back(static_cast<std::int64_t>(call.list.size()));
  }
}

void RankExecutor::PlanSteps() {
  const int dim = cell_->shape.head_dim;
  for (const std::vector<planner::HeadColumns>& columns : program_->columns) {
    if (columns.size() != program_->heads.size()) {
      Fail(ErrorCode::kInternal, "rank {}: columns and rows name different heads", rank_);
    }
    StepPlan step;
    step.head.resize(columns.size());
    for (std::size_t h = 0; h < columns.size(); ++h) {
      HeadCall& call = step.head[h];
      PlanHead(program_->heads[h], columns[h], call);
      call.k = step.floats;
      step.floats +=
          std::accumulate(call.k_tokens.begin(), call.k_tokens.end(), std::int64_t{0}) * dim;
    }
    // V follows K in the same order, so that one hop moves both without packing.
    for (HeadCall& call : step.head) call.v = call.k + step.floats;
    step.floats *= 2;
    kv_floats_ = std::max(kv_floats_, step.floats);
    steps_.push_back(std::move(step));
  }
  // Blocks lie tight, exact tokens only; a kernel may look at a whole block where the last one is
  // short, hence one block of slack.
  kv_floats_ += static_cast<std::int64_t>(cell_->shape.block.k) * dim;
  const std::int64_t q_floats = static_cast<std::int64_t>(o_.size());
  const std::int64_t buffers = cell_->chunked() ? std::ssize(steps_) : steps_.size() > 1 ? 2 : 1;
  blocks_.resize(Index(q_floats + kv_floats_ * buffers));
}

bool RankExecutor::InStep(std::size_t head, int step) const {
  return !cell_->chunked() ||
         cell_->schedule.chunk_of_head.at(Index(program_->heads[head].head)) == step;
}

bool RankExecutor::has_rows(int step) const {
  for (std::size_t h = 0; h < slots_.size(); ++h) {
    if (!slots_[h].q_tokens.empty() && InStep(h, step)) return true;
  }
  return false;
}

std::size_t RankExecutor::BufferOf(int round) const { return cell_->chunked() ? Index(round) : 0; }

bool RankExecutor::IsHome(int round, bool source) const {
  if (cell_->chunked()) return source == (round < cell_->rounds_before());
  return source ? round == 0 : round == cell_->rounds() - 1;
}

PlaceMap RankExecutor::HomePlaces(int round, bool source) const {
  const AttentionShape& shape = cell_->shape;
  const std::int64_t row = static_cast<std::int64_t>(shape.heads) * shape.head_dim;
  PlaceMap places;
  const planner::ExchangeRound& lists = cell_->round(round);
  for (int other = 0; other < cell_->ranks(); ++other) {
    const int src = source ? rank_ : other;
    const int dst = source ? other : rank_;
    for (const planner::BlockItem& item :
         lists.items.at(Index(src) * Index(cell_->ranks()) + Index(dst))) {
      const std::int64_t token = FirstTokenOf(shape, item) - first_token_;
      if (token < 0 || token >= local_tokens_) continue;  // Find() will say that it is missing
      const std::int64_t tensor =
          source ? static_cast<std::int64_t>(item.tensor) * local_tokens_ * row : 0;
      places.Add(item,
                 tensor + token * row + static_cast<std::int64_t>(item.head) * shape.head_dim);
    }
  }
  places.Sort();
  return places;
}

PlaceMap RankExecutor::ComputePlaces(bool source) const {
  PlaceMap places;
  const int dim = cell_->shape.head_dim;
  const std::int64_t kv = static_cast<std::int64_t>(o_.size());
  for (std::size_t h = 0; h < program_->heads.size(); ++h) {
    const planner::HeadRows& rows = program_->heads[h];
    const planner::Tensor of_rows = source ? planner::Tensor::kO : planner::Tensor::kQ;
    for (std::size_t r = 0; r < rows.rows.size(); ++r) {
      places.Add({of_rows, rows.head, rows.rows[r]},
                 (slots_[h].first + static_cast<std::int64_t>(r)) * SlotFloats());
    }
    if (source) continue;
    const int step = cell_->chunked() ? cell_->schedule.chunk_of_head.at(Index(rows.head)) : 0;
    const HeadCall& call = steps_[Index(step)].head[h];
    std::int64_t offset = kv + (cell_->chunked() ? step * kv_floats_ : 0);
    const std::vector<int>& cols = program_->columns[Index(step)][h].cols;
    for (std::size_t c = 0; c < cols.size(); ++c) {
      places.Add({planner::Tensor::kK, rows.head, cols[c]}, offset + call.k);
      places.Add({planner::Tensor::kV, rows.head, cols[c]}, offset + call.v);
      offset += static_cast<std::int64_t>(call.k_tokens[c]) * dim;
    }
  }
  places.Sort();
  return places;
}

PlaceMap RankExecutor::Places(int round, bool source) const {
  if (IsHome(round, source)) return HomePlaces(round, source);
  const int before = cell_->rounds_before();
  const bool compute = source ? round == before : round == before - 1;
  if (compute || cell_->chunked()) return ComputePlaces(source);
  return PackedPlaces(
      cell_->shape, cell_->round(source ? round - 1 : round), cell_->ranks(), rank_);
}

void RankExecutor::PlanRounds() {
  const int count = cell_->rounds();
  between_.resize(Index(count));
  send_.resize(cell_->chunked() ? Index(count) : 1);
  recv_.resize(send_.size());
  for (int round = 0; round < count; ++round) {
    rounds_.push_back(MakeCopyPlan(cell_->shape,
                                   cell_->round(round),
                                   cell_->ranks(),
                                   rank_,
                                   Places(round, true),
                                   Places(round, false)));
    const CopyPlan& plan = rounds_.back();
    std::vector<float>& send = send_[BufferOf(round)];
    std::vector<float>& recv = recv_[BufferOf(round)];
    send.resize(std::max(send.size(), Index(plan.SendFloats())));
    recv.resize(std::max(recv.size(), Index(plan.RecvFloats())));
    const bool last = round == cell_->rounds_before() - 1 || round == count - 1;
    if (!last && !cell_->chunked()) between_[Index(round)].resize(Index(plan.RecvFloats()));
  }
}

void RankExecutor::Fill() {
  const AttentionShape& shape = cell_->shape;
  const auto dim = static_cast<std::size_t>(shape.head_dim);
  float* out = home_in_.data();
  for (const planner::Tensor tensor :
       {planner::Tensor::kQ, planner::Tensor::kK, planner::Tensor::kV}) {
    for (std::int64_t token = 0; token < local_tokens_; ++token) {
      for (int head = 0; head < shape.heads; ++head, out += dim) {
        FillRow(cell_->key, tensor, head, first_token_ + token, {out, dim});
      }
    }
  }
}

void RankExecutor::Reset() {
  for (std::vector<float>* memory : {&home_out_, &blocks_, &o_, &lse_, &part_o_, &part_lse_}) {
    Poison(*memory);
  }
  for (auto* memories : {&between_, &send_, &recv_}) {
    for (std::vector<float>& memory : *memories) Poison(memory);
  }
  // What pads a short block is never data; zero keeps it from poisoning a kernel that reads it.
  for (std::size_t h = 0; h < slots_.size(); ++h) {
    for (std::size_t r = 0; r < slots_[h].q_tokens.size(); ++r) {
      float* slot =
          blocks_.data() + (slots_[h].first + static_cast<std::int64_t>(r)) * SlotFloats();
      std::fill(slot + static_cast<std::int64_t>(slots_[h].q_tokens[r]) * cell_->shape.head_dim,
                slot + SlotFloats(),
                0.0F);
    }
  }
  ClearSlack(0);
  for (int step = 1; cell_->chunked() && step < cell_->schedule.steps; ++step) ClearSlack(step);
  std::fill(writes_.begin(), writes_.end(), 0);
  const std::size_t rounds = rounds_.size();
  const std::size_t steps = steps_.size();
  executed_ = {.packed_bytes = std::vector<std::int64_t>(rounds, 0),
               .sent_bytes = std::vector<std::int64_t>(rounds, 0),
               .unpacked_bytes = std::vector<std::int64_t>(rounds, 0),
               .hop_bytes = std::vector<std::int64_t>(steps > 0 ? steps - 1 : 0, 0),
               .kept_blocks = std::vector<std::int64_t>(steps, 0),
               .merged_rows = std::vector<std::int64_t>(steps, 0)};
}

void RankExecutor::ClearSlack(int step) {
  float* end = StepKv(step) + steps_[Index(step)].floats;
  std::fill_n(end, static_cast<std::int64_t>(cell_->shape.block.k) * cell_->shape.head_dim, 0.0F);
}

float* RankExecutor::StepKv(int step) {
  const std::int64_t buffer = cell_->chunked() ? step : step % 2;
  return blocks_.data() + o_.size() + buffer * kv_floats_;
}

float* RankExecutor::Base(int round, bool source) {
  const int before = cell_->rounds_before();
  if (IsHome(round, source)) return source ? home_in_.data() : home_out_.data();
  if (cell_->chunked()) return source ? o_.data() : blocks_.data();
  if (source) return round == before ? o_.data() : between_[Index(round) - 1].data();
  return round == before - 1 ? blocks_.data() : between_[Index(round)].data();
}

std::int64_t RankExecutor::Stride(int round, bool source) const {
  const std::int64_t dim = cell_->shape.head_dim;
  return IsHome(round, source) ? dim * cell_->shape.heads : dim;
}

void RankExecutor::Pack(int round) {
  const CopyPlan& plan = rounds_[Index(round)];
  const int dim = cell_->shape.head_dim;
  kernels::CopyBlocks(
      Base(round, true), Stride(round, true), send_[BufferOf(round)].data(), dim, dim, plan.pack);
  std::int64_t tokens = 0;
  for (const kernels::CopyItem& item : plan.pack) tokens += item.tokens;
  executed_.packed_bytes[Index(round)] += tokens * dim * kFloat;
}

RoundBuffers RankExecutor::Buffers(int round) {
  const CopyPlan& plan = rounds_[Index(round)];
  executed_.sent_bytes[Index(round)] +=
      (plan.SendFloats() - plan.send_counts[Index(rank_)]) * kFloat;
  return {.send = send_[BufferOf(round)].data(),
          .send_counts = plan.send_counts,
          .send_offsets = plan.send_offsets,
          .recv = recv_[BufferOf(round)].data(),
          .recv_counts = plan.recv_counts,
          .recv_offsets = plan.recv_offsets};
}

void RankExecutor::Unpack(int round) {
  const CopyPlan& plan = rounds_[Index(round)];
  const int dim = cell_->shape.head_dim;
  kernels::CopyBlocks(recv_[BufferOf(round)].data(),
                      dim,
                      Base(round, false),
                      Stride(round, false),
                      dim,
                      plan.unpack);
  std::int64_t tokens = 0;
  for (const kernels::CopyItem& item : plan.unpack) tokens += item.tokens;
  executed_.unpacked_bytes[Index(round)] += tokens * dim * kFloat;
  if (!IsHome(round, false)) return;
  CountWrites(round);
}

void RankExecutor::CountWrites(int round) {
  const std::int64_t row = static_cast<std::int64_t>(cell_->shape.heads) * cell_->shape.head_dim;
  for (const kernels::CopyItem& item : rounds_[Index(round)].unpack) {
    const std::int64_t block = item.to / row / cell_->shape.block.q;
    const std::int64_t head = item.to % row / cell_->shape.head_dim;
    ++writes_[Index(block * cell_->shape.heads + head)];
  }
}

void RankExecutor::Attend(int step) {
  const AttentionShape& shape = cell_->shape;
  const StepPlan& plan = steps_[Index(step)];
  const float* kv = StepKv(step);
  const bool whole = step == 0 || cell_->chunked();
  std::vector<float>& o = whole ? o_ : part_o_;
  std::vector<float>& lse = whole ? lse_ : part_lse_;
  std::int64_t kept = 0;
  for (std::size_t h = 0; h < plan.head.size(); ++h) {
    const HeadCall& call = plan.head[h];
    if (slots_[h].q_tokens.empty()) continue;  // only passes K/V on
    if (!InStep(h, step)) continue;
    const std::int64_t first = slots_[h].first;
    kernels::AttentionArgs args;
    args.head_dim = shape.head_dim;
    args.block = shape.block;
    args.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(shape.head_dim)));
    args.q_blocks = static_cast<int>(slots_[h].q_tokens.size());
    args.k_blocks = static_cast<int>(call.k_tokens.size());
    args.q = blocks_.data() + first * SlotFloats();
    args.k = kv + call.k;
    args.v = kv + call.v;
    args.q_tokens = slots_[h].q_tokens;
    args.k_tokens = call.k_tokens;
    args.list_begin = call.list_begin;
    args.list = call.list;
    args.o = o.data() + first * SlotFloats();
    args.lse = lse.data() + first * shape.block.q;
    kernel_->run(args);
    kept += static_cast<std::int64_t>(call.list.size());
  }
  executed_.kept_blocks[Index(step)] += kept;
}

void RankExecutor::Merge(int step) {
  if (step == 0 || cell_->chunked()) return;
  const int dim = cell_->shape.head_dim;
  const StepPlan& plan = steps_[Index(step)];
  std::int64_t merged = 0;
  for (std::size_t h = 0; h < plan.head.size(); ++h) {
    const HeadCall& call = plan.head[h];
    for (std::size_t r = 0; r < slots_[h].q_tokens.size(); ++r) {
      if (call.list_begin[r] == call.list_begin[r + 1]) continue;  // adds nothing
      const std::int64_t slot = slots_[h].first + static_cast<std::int64_t>(r);
      const std::int64_t row = slot * cell_->shape.block.q;
      const int tokens = slots_[h].q_tokens[r];
      kernels::MergePartial(tokens,
                            dim,
                            o_.data() + row * dim,
                            lse_.data() + row,
                            part_o_.data() + row * dim,
                            part_lse_.data() + row);
      merged += tokens;
    }
  }
  executed_.merged_rows[Index(step)] += merged;
}

HopBuffers RankExecutor::Hop(int step) {
  return {.send = StepKv(step),
          .send_count = steps_[Index(step)].floats,
          .dst = program_->ring_prev,
          .recv = StepKv(step + 1),
          .recv_count = steps_[Index(step) + 1].floats,
          .src = program_->ring_next};
}

void RankExecutor::HopDone(int step) {
  executed_.hop_bytes[Index(step)] += steps_[Index(step) + 1].floats * kFloat;
  ClearSlack(step + 1);
}

std::span<const float> RankExecutor::Output(int head, std::int64_t token) const {
  const auto dim = static_cast<std::size_t>(cell_->shape.head_dim);
  const std::int64_t row = (token - first_token_) * cell_->shape.heads + head;
  return std::span<const float>(home_out_).subspan(Index(row) * dim, dim);
}

int RankExecutor::Writes(int head, int q_block) const {
  const std::int64_t block = q_block - first_token_ / cell_->shape.block.q;
  return writes_[Index(block * cell_->shape.heads + head)];
}

}  // namespace dbsp::replay
