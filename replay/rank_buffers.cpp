// SPDX-License-Identifier: Apache-2.0
#include "replay/rank_buffers.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "core/error.h"

namespace dbsp::replay {
namespace {

/// Builds the RankBuffers of one rank.
class RankBuffersBuilder {
 public:
  RankBuffersBuilder(const Cell& cell, int rank, BlockLayout layout) : cell_(cell) {
    buffers_.cell = &cell;
    buffers_.rank = rank;
    buffers_.layout = layout;
    buffers_.first_token = cell.home.begin[Index(rank)];
    buffers_.local_tokens = cell.home.begin[Index(rank) + 1] - buffers_.first_token;
    buffers_.home_elements = buffers_.local_tokens * cell.shape.heads * cell.shape.head_dim;
  }

  RankBuffers Build() {
    BuildSteps();
    BuildSlots();
    BuildRounds();
    return std::move(buffers_);
  }

 private:
  [[nodiscard]] bool uniform() const { return buffers_.layout == BlockLayout::kUniform; }

  /// Heads of the step: with chunks those of chunk `step`, else all.
  [[nodiscard]] std::vector<std::size_t> HeadsOf(int step) const {
    std::vector<std::size_t> heads;
    for (std::size_t h = 0; h < buffers_.schedule().heads.size(); ++h) {
      const int head = buffers_.schedule().heads[h].head;
      if (!cell_.chunked() || cell_.schedule.chunk_of_head.at(Index(head)) == step) {
        heads.push_back(h);
      }
    }
    return heads;
  }

  /// Slots of a step's heads are contiguous, so that one launch covers them. With kUniform every
  /// head has as many slots as the head with the most rows.
  void BuildSlots() {
    const std::vector<planner::HeadRows>& heads = buffers_.schedule().heads;
    buffers_.slots.resize(heads.size());
    for (std::size_t h = 0; h < heads.size(); ++h) {
      for (const int row : heads[h].rows) {
        buffers_.slots[h].q_tokens.push_back(cell_.shape.q_tokens(row));
      }
    }
    const std::size_t launches =
        cell_.chunked() ? buffers_.steps.size() : std::min<std::size_t>(1, buffers_.steps.size());
    for (std::size_t step = 0; step < launches; ++step) {
      std::size_t most = 0;
      for (const std::size_t h : buffers_.steps[step].heads) {
        most = std::max(most, heads[h].rows.size());
      }
      for (const std::size_t h : buffers_.steps[step].heads) {
        buffers_.slots[h].first = buffers_.row_slots;
        buffers_.row_slots += static_cast<std::int64_t>(uniform() ? most : heads[h].rows.size());
      }
      buffers_.steps[step].q_slots = static_cast<int>(most);
    }
    if (cell_.chunked()) return;
    for (StepPlan& step : buffers_.steps) step.q_slots = buffers_.steps.front().q_slots;
  }

  void BuildHeadCall(const planner::HeadRows& rows,
                     const planner::HeadColumns& columns,
                     HeadCall& call) const {
    const std::vector<int>& cols = columns.cols;
    const bool ascending = std::is_sorted(cols.begin(), cols.end(), std::less_equal<int>{});
    if (rows.head != columns.head || !ascending) {
      Fail(ErrorCode::kInternal,
           "rank {}: the columns of head {} are not those of head {} in ascending order",
           buffers_.rank,
           columns.head,
           rows.head);
    }
    for (const int col : cols) call.k_tokens.push_back(cell_.shape.k_tokens(col));
    const BlockMask& mask = *cell_.masks.head.at(Index(rows.head));
    call.list_begin.push_back(0);
    for (const int row : rows.rows) {
      for (std::size_t at = 0; at < cols.size(); ++at) {
        if (mask.Get(row, cols[at])) call.list.push_back(static_cast<int>(at));
      }
      call.list_begin.push_back(static_cast<std::int64_t>(call.list.size()));
    }
  }

  /// Offsets of K. V follows K in the same order, so that one hop moves both without packing.
  void SetOffsetsTight(StepPlan& step) const {
    for (HeadCall& call : step.head) {
      call.k = step.elements;
      step.elements +=
          std::accumulate(call.k_tokens.begin(), call.k_tokens.end(), std::int64_t{0}) *
          cell_.shape.head_dim;
    }
  }

  /// A head's columns occupy its last slots. When any head of the step has the sequence's short
  /// last block, the last slot of every head is reserved for that block. One number of key tokens
  /// then ends the keys of every head.
  void SetOffsetsUniform(StepPlan& step) const {
    const int block = cell_.shape.block.k;
    int tail = block;
    for (const std::size_t h : step.heads) {
      const std::vector<int>& tokens = step.head[h].k_tokens;
      if (!tokens.empty()) tail = std::min(tail, tokens.back());
    }
    const auto slots_of = [&](const HeadCall& call) {
      const bool without = tail < block && !call.k_tokens.empty() && call.k_tokens.back() == block;
      return static_cast<int>(call.k_tokens.size()) + (without ? 1 : 0);
    };
    int slots = 0;
    for (const std::size_t h : step.heads) slots = std::max(slots, slots_of(step.head[h]));
    step.k_tokens = slots == 0 ? 0 : (slots - 1) * block + tail;
    for (const std::size_t h : step.heads) {
      HeadCall& call = step.head[h];
      call.first_slot = slots - slots_of(call);
      call.k =
          step.elements + static_cast<std::int64_t>(call.first_slot) * block * cell_.shape.head_dim;
      step.elements += static_cast<std::int64_t>(step.k_tokens) * cell_.shape.head_dim;
    }
  }

  void BuildSteps() {
    const planner::RankSchedule& schedule = buffers_.schedule();
    for (std::size_t t = 0; t < schedule.columns.size(); ++t) {
      const std::vector<planner::HeadColumns>& columns = schedule.columns[t];
      if (columns.size() != schedule.heads.size()) {
        Fail(ErrorCode::kInternal, "rank {}: columns and rows name different heads", buffers_.rank);
      }
      StepPlan step;
      step.heads = HeadsOf(static_cast<int>(t));
      step.head.resize(columns.size());
      for (std::size_t h = 0; h < columns.size(); ++h) {
        BuildHeadCall(schedule.heads[h], columns[h], step.head[h]);
      }
      uniform() ? SetOffsetsUniform(step) : SetOffsetsTight(step);
      for (HeadCall& call : step.head) call.v = call.k + step.elements;
      step.elements *= 2;
      buffers_.kv_elements = std::max(buffers_.kv_elements, step.elements);
      buffers_.steps.push_back(std::move(step));
    }
    // The slack block: see RankBuffers::kv_elements.
    buffers_.kv_elements += static_cast<std::int64_t>(cell_.shape.block.k) * cell_.shape.head_dim;
    buffers_.kv_buffers = cell_.chunked()             ? static_cast<int>(buffers_.steps.size())
                          : buffers_.steps.size() > 1 ? 2
                                                      : 1;
  }

  [[nodiscard]] BlockOffsets HomeOffsets(int round, bool source) const {
    const AttentionShape& shape = cell_.shape;
    const std::int64_t row = static_cast<std::int64_t>(shape.heads) * shape.head_dim;
    BlockOffsets offsets;
    const planner::ExchangeRound& lists = cell_.round(round);
    for (int other = 0; other < cell_.ranks(); ++other) {
      const int src = source ? buffers_.rank : other;
      const int dst = source ? other : buffers_.rank;
      for (const planner::BlockItem& item :
           lists.items.at(Index(src) * Index(cell_.ranks()) + Index(dst))) {
        const std::int64_t token = FirstTokenOf(shape, item) - buffers_.first_token;
        if (token < 0 || token >= buffers_.local_tokens) continue;  // Find() reports it as missing
        const std::int64_t tensor =
            source ? static_cast<std::int64_t>(item.tensor) * buffers_.home_elements : 0;
        offsets.Add(item,
                    tensor + token * row + static_cast<std::int64_t>(item.head) * shape.head_dim);
      }
    }
    offsets.Sort();
    return offsets;
  }

  [[nodiscard]] BlockOffsets ComputeOffsets(bool source) const {
    BlockOffsets offsets;
    const planner::RankSchedule& schedule = buffers_.schedule();
    for (std::size_t h = 0; h < schedule.heads.size(); ++h) {
      const planner::HeadRows& rows = schedule.heads[h];
      const planner::Tensor of_rows = source ? planner::Tensor::kO : planner::Tensor::kQ;
      for (std::size_t r = 0; r < rows.rows.size(); ++r) {
        offsets.Add(
            {of_rows, rows.head, rows.rows[r]},
            (buffers_.slots[h].first + static_cast<std::int64_t>(r)) * buffers_.slot_elements());
      }
      if (source) continue;
      const int step = cell_.chunked() ? cell_.schedule.chunk_of_head.at(Index(rows.head)) : 0;
      const HeadCall& call = buffers_.steps[Index(step)].head[h];
      std::int64_t offset = buffers_.StepKv(step);
      const std::vector<int>& cols = schedule.columns[Index(step)][h].cols;
      for (std::size_t c = 0; c < cols.size(); ++c) {
        offsets.Add({planner::Tensor::kK, rows.head, cols[c]}, offset + call.k);
        offsets.Add({planner::Tensor::kV, rows.head, cols[c]}, offset + call.v);
        offset += static_cast<std::int64_t>(call.k_tokens[c]) * cell_.shape.head_dim;
      }
    }
    offsets.Sort();
    return offsets;
  }

  [[nodiscard]] BlockOffsets Offsets(int round, bool source) const {
    const RoundMemory memory = buffers_.MemoryOf(round, source);
    switch (memory.memory) {
      case RankMemory::kHomeIn:
      case RankMemory::kHomeOut:
        return HomeOffsets(round, source);
      case RankMemory::kBlocks:
      case RankMemory::kResult:
        return ComputeOffsets(source);
      case RankMemory::kStaging:
        break;
    }
    return PackedOffsets(cell_.shape, cell_.round(memory.index), cell_.ranks(), buffers_.rank);
  }

  void BuildRounds() {
    const int count = cell_.rounds();
    buffers_.staging_elements.resize(Index(count));
    buffers_.send_elements.resize(cell_.chunked() ? Index(count) : 1);
    buffers_.recv_elements.resize(buffers_.send_elements.size());
    for (int round = 0; round < count; ++round) {
      buffers_.rounds.push_back(MakeCopyPlan(cell_.shape,
                                             cell_.round(round),
                                             cell_.ranks(),
                                             buffers_.rank,
                                             Offsets(round, true),
                                             Offsets(round, false)));
      const CopyPlan& copies = buffers_.rounds.back();
      std::int64_t& send = buffers_.send_elements[buffers_.BufferOf(round)];
      std::int64_t& recv = buffers_.recv_elements[buffers_.BufferOf(round)];
      send = std::max(send, copies.SendElements());
      recv = std::max(recv, copies.RecvElements());
      if (buffers_.MemoryOf(round, false).memory == RankMemory::kStaging) {
        buffers_.staging_elements[Index(round)] = copies.RecvElements();
      }
      buffers_.bytes.push_back({.send_counts = InBytes(copies.send_counts),
                                .send_offsets = InBytes(copies.send_offsets),
                                .recv_counts = InBytes(copies.recv_counts),
                                .recv_offsets = InBytes(copies.recv_offsets)});
    }
  }

  [[nodiscard]] std::vector<std::int64_t> InBytes(std::vector<std::int64_t> elements) const {
    for (std::int64_t& count : elements) count = buffers_.Bytes(count);
    return elements;
  }

  const Cell& cell_;
  RankBuffers buffers_;
};

}  // namespace

const planner::RankSchedule& RankBuffers::schedule() const {
  return cell->schedule.rank[Index(rank)];
}

std::int64_t RankBuffers::slot_elements() const {
  return static_cast<std::int64_t>(cell->shape.block.q) * cell->shape.head_dim;
}

std::int64_t RankBuffers::block_elements() const {
  return row_elements() + kv_elements * kv_buffers;
}

std::int64_t RankBuffers::StepKv(int step) const {
  return row_elements() + kv_elements * (cell->chunked() ? step : step % 2);
}

std::size_t RankBuffers::BufferOf(int round) const { return cell->chunked() ? Index(round) : 0; }

RoundMemory RankBuffers::MemoryOf(int round, bool source) const {
  const std::int64_t dim = cell->shape.head_dim;
  const int before = cell->rounds_before();
  const bool home = cell->chunked() ? source == (round < before)
                    : source        ? round == 0
                                    : round == cell->rounds() - 1;
  if (home) {
    return {source ? RankMemory::kHomeIn : RankMemory::kHomeOut, 0, dim * cell->shape.heads};
  }
  if (cell->chunked() || (source ? round == before : round == before - 1)) {
    return {source ? RankMemory::kResult : RankMemory::kBlocks, 0, dim};
  }
  return {RankMemory::kStaging, source ? round - 1 : round, dim};
}

bool RankBuffers::HasRows(int step) const {
  return std::ranges::any_of(steps[Index(step)].heads,
                             [&](std::size_t h) { return !slots[h].q_tokens.empty(); });
}

std::int64_t RankBuffers::Bytes(std::int64_t elements) const {
  return elements * BytesOf(cell->dtype());
}

RankBuffers MakeRankBuffers(const Cell& cell, int rank, BlockLayout layout) {
  if (cell.schedule.before.empty() || cell.schedule.after.empty()) {
    Fail(
        ErrorCode::kInternal, "rank {}: the schedule has no round before or after attention", rank);
  }
  (void)cell.schedule.rank.at(Index(rank));
  return RankBuffersBuilder(cell, rank, layout).Build();
}

}  // namespace dbsp::replay
