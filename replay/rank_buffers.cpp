// SPDX-License-Identifier: Apache-2.0
#include "replay/rank_buffers.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "core/error.h"

namespace dbsp::replay {
namespace {

constexpr std::int64_t kWordBytes = 4;

std::size_t Index(std::int64_t value) { return static_cast<std::size_t>(value); }

/// Fills one plan.
class Planner {
 public:
  Planner(const Cell& cell, int rank, BlockLayout layout) : cell_(cell) {
    plan_.cell = &cell;
    plan_.rank = rank;
    plan_.layout = layout;
    plan_.first_token = cell.home.begin[Index(rank)];
    plan_.local_tokens = cell.home.begin[Index(rank) + 1] - plan_.first_token;
    plan_.home_elements = plan_.local_tokens * cell.shape.heads * cell.shape.head_dim;
  }

  RankBuffers Make() {
    PlanSteps();
    PlanSlots();
    PlanRounds();
    return std::move(plan_);
  }

 private:
  [[nodiscard]] bool uniform() const { return plan_.layout == BlockLayout::kUniform; }

  /// Which heads take part in the step: all but those of other chunks.
  [[nodiscard]] std::vector<std::size_t> HeadsOf(int step) const {
    std::vector<std::size_t> heads;
    for (std::size_t h = 0; h < plan_.program().heads.size(); ++h) {
      const int head = plan_.program().heads[h].head;
      if (!cell_.chunked() || cell_.schedule.chunk_of_head.at(Index(head)) == step) {
        heads.push_back(h);
      }
    }
    return heads;
  }

  /// Slots of a step's heads follow each other, so that one launch covers them; with kUniform each
  /// head has as many as the fullest one.
  void PlanSlots() {
    const std::vector<planner::HeadRows>& heads = plan_.program().heads;
    plan_.slots.resize(heads.size());
    for (std::size_t h = 0; h < heads.size(); ++h) {
      for (const int row : heads[h].rows) {
        plan_.slots[h].q_tokens.push_back(cell_.shape.q_tokens(row));
      }
    }
    const std::size_t launches =
        cell_.chunked() ? plan_.steps.size() : std::min<std::size_t>(1, plan_.steps.size());
    for (std::size_t step = 0; step < launches; ++step) {
      std::size_t most = 0;
      for (const std::size_t h : plan_.steps[step].heads) {
        most = std::max(most, heads[h].rows.size());
      }
      for (const std::size_t h : plan_.steps[step].heads) {
        plan_.slots[h].first = plan_.row_slots;
        plan_.row_slots += static_cast<std::int64_t>(uniform() ? most : heads[h].rows.size());
      }
      plan_.steps[step].q_slots = static_cast<int>(most);
    }
    if (cell_.chunked()) return;
    for (StepPlan& step : plan_.steps) step.q_slots = plan_.steps.front().q_slots;
  }

  void PlanHead(const planner::HeadRows& rows,
                const planner::HeadColumns& columns,
                HeadCall& call) const {
    const std::vector<int>& cols = columns.cols;
    const bool ascending = std::is_sorted(cols.begin(), cols.end(), std::less_equal<int>{});
    if (rows.head != columns.head || !ascending) {
      Fail(ErrorCode::kInternal,
           "rank {}: the columns of head {} are not those of head {} in ascending order",
           plan_.rank,
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

  /// Offsets of K; V follows K in the same order, so that one hop moves both without packing.
  void PlaceTight(StepPlan& step) const {
    for (HeadCall& call : step.head) {
      call.k = step.elements;
      step.elements +=
          std::accumulate(call.k_tokens.begin(), call.k_tokens.end(), std::int64_t{0}) *
          cell_.shape.head_dim;
    }
  }

  /// A head's columns occupy its last slots. The sequence's short block, where any head of the step
  /// has it, has the last slot to itself, so that one number of key tokens ends every head's keys.
  void PlaceUniform(StepPlan& step) const {
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

  void PlanSteps() {
    const planner::RankSchedule& program = plan_.program();
    for (std::size_t t = 0; t < program.columns.size(); ++t) {
      const std::vector<planner::HeadColumns>& columns = program.columns[t];
      if (columns.size() != program.heads.size()) {
        Fail(ErrorCode::kInternal, "rank {}: columns and rows name different heads", plan_.rank);
      }
      StepPlan step;
      step.heads = HeadsOf(static_cast<int>(t));
      step.head.resize(columns.size());
      for (std::size_t h = 0; h < columns.size(); ++h) {
        PlanHead(program.heads[h], columns[h], step.head[h]);
      }
      uniform() ? PlaceUniform(step) : PlaceTight(step);
      for (HeadCall& call : step.head) call.v = call.k + step.elements;
      step.elements *= 2;
      plan_.kv_elements = std::max(plan_.kv_elements, step.elements);
      plan_.steps.push_back(std::move(step));
    }
    // A kernel may look at a whole block where the last one is short, hence one block of slack.
    plan_.kv_elements += static_cast<std::int64_t>(cell_.shape.block.k) * cell_.shape.head_dim;
    plan_.kv_buffers = cell_.chunked()          ? static_cast<int>(plan_.steps.size())
                       : plan_.steps.size() > 1 ? 2
                                                : 1;
  }

  [[nodiscard]] PlaceMap HomePlaces(int round, bool source) const {
    const AttentionShape& shape = cell_.shape;
    const std::int64_t row = static_cast<std::int64_t>(shape.heads) * shape.head_dim;
    PlaceMap places;
    const planner::ExchangeRound& lists = cell_.round(round);
    for (int other = 0; other < cell_.ranks(); ++other) {
      const int src = source ? plan_.rank : other;
      const int dst = source ? other : plan_.rank;
      for (const planner::BlockItem& item :
           lists.items.at(Index(src) * Index(cell_.ranks()) + Index(dst))) {
        const std::int64_t token = FirstTokenOf(shape, item) - plan_.first_token;
        if (token < 0 || token >= plan_.local_tokens)
          continue;  // Find() will say that it is missing
        const std::int64_t tensor =
            source ? static_cast<std::int64_t>(item.tensor) * plan_.home_elements : 0;
        places.Add(item,
                   tensor + token * row + static_cast<std::int64_t>(item.head) * shape.head_dim);
      }
    }
    places.Sort();
    return places;
  }

  [[nodiscard]] PlaceMap ComputePlaces(bool source) const {
    PlaceMap places;
    const planner::RankSchedule& program = plan_.program();
    for (std::size_t h = 0; h < program.heads.size(); ++h) {
      const planner::HeadRows& rows = program.heads[h];
      const planner::Tensor of_rows = source ? planner::Tensor::kO : planner::Tensor::kQ;
      for (std::size_t r = 0; r < rows.rows.size(); ++r) {
        places.Add({of_rows, rows.head, rows.rows[r]},
                   (plan_.slots[h].first + static_cast<std::int64_t>(r)) * plan_.slot_elements());
      }
      if (source) continue;
      const int step = cell_.chunked() ? cell_.schedule.chunk_of_head.at(Index(rows.head)) : 0;
      const HeadCall& call = plan_.steps[Index(step)].head[h];
      std::int64_t offset = plan_.StepKv(step);
      const std::vector<int>& cols = program.columns[Index(step)][h].cols;
      for (std::size_t c = 0; c < cols.size(); ++c) {
        places.Add({planner::Tensor::kK, rows.head, cols[c]}, offset + call.k);
        places.Add({planner::Tensor::kV, rows.head, cols[c]}, offset + call.v);
        offset += static_cast<std::int64_t>(call.k_tokens[c]) * cell_.shape.head_dim;
      }
    }
    places.Sort();
    return places;
  }

  [[nodiscard]] PlaceMap Places(int round, bool source) const {
    const RoundMemory memory = plan_.MemoryOf(round, source);
    switch (memory.memory) {
      case RankMemory::kHomeIn:
      case RankMemory::kHomeOut:
        return HomePlaces(round, source);
      case RankMemory::kBlocks:
      case RankMemory::kResult:
        return ComputePlaces(source);
      case RankMemory::kStaging:
        break;
    }
    return PackedPlaces(cell_.shape, cell_.round(memory.index), cell_.ranks(), plan_.rank);
  }

  void PlanRounds() {
    const int count = cell_.rounds();
    plan_.between_elements.resize(Index(count));
    plan_.send_elements.resize(cell_.chunked() ? Index(count) : 1);
    plan_.recv_elements.resize(plan_.send_elements.size());
    for (int round = 0; round < count; ++round) {
      plan_.rounds.push_back(MakeCopyPlan(cell_.shape,
                                          cell_.round(round),
                                          cell_.ranks(),
                                          plan_.rank,
                                          Places(round, true),
                                          Places(round, false)));
      const CopyPlan& copies = plan_.rounds.back();
      std::int64_t& send = plan_.send_elements[plan_.BufferOf(round)];
      std::int64_t& recv = plan_.recv_elements[plan_.BufferOf(round)];
      send = std::max(send, copies.SendElements());
      recv = std::max(recv, copies.RecvElements());
      if (plan_.MemoryOf(round, false).memory == RankMemory::kStaging) {
        plan_.between_elements[Index(round)] = copies.RecvElements();
      }
      plan_.words.push_back({.send_counts = Words(copies.send_counts),
                             .send_offsets = Words(copies.send_offsets),
                             .recv_counts = Words(copies.recv_counts),
                             .recv_offsets = Words(copies.recv_offsets)});
    }
  }

  [[nodiscard]] std::vector<std::int64_t> Words(const std::vector<std::int64_t>& elements) const {
    std::vector<std::int64_t> words;
    for (const std::int64_t count : elements) {
      const std::int64_t bytes = plan_.Bytes(count);
      if (bytes % kWordBytes != 0) {
        Fail(ErrorCode::kInternal,
             "rank {}: an exchange of {} bytes; rows of head_dim {} are no whole words of {} bytes",
             plan_.rank,
             bytes,
             cell_.shape.head_dim,
             kWordBytes);
      }
      words.push_back(bytes / kWordBytes);
    }
    return words;
  }

  const Cell& cell_;
  RankBuffers plan_;
};

}  // namespace

const planner::RankSchedule& RankBuffers::program() const {
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

RankBuffers MakeRankPlan(const Cell& cell, int rank, BlockLayout layout) {
  if (cell.schedule.before.empty() || cell.schedule.after.empty()) {
    Fail(
        ErrorCode::kInternal, "rank {}: the schedule has no round before or after attention", rank);
  }
  (void)cell.schedule.rank.at(Index(rank));
  return Planner(cell, rank, layout).Make();
}

}  // namespace dbsp::replay
