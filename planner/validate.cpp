// SPDX-License-Identifier: Apache-2.0
#include "planner/validate.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "core/plan_check.h"

namespace dbsp::planner {
namespace {

using Bits = std::vector<std::uint64_t>;

constexpr std::array<const char*, 4> kTensorNames{"Q", "K", "V", "O"};

/// Where every block is, as the rounds move it.
class Places {
 public:
  Places(const AttentionShape& shape, const HomeLayout& home) : shape_(shape), home_(home) {
    for (std::size_t t = 0; t < at_.size(); ++t) {
      const auto tensor = static_cast<Tensor>(t);
      at_[t].resize(static_cast<std::size_t>(shape.heads) * Blocks(tensor));
      for (int head = 0; head < shape.heads; ++head) {
        for (int block = 0; block < Blocks(tensor); ++block) {
          At({tensor, head, block}) = Home(tensor, block);
        }
      }
    }
  }

  [[nodiscard]] int Blocks(Tensor tensor) const {
    return Query(tensor) ? shape_.q_blocks() : shape_.k_blocks();
  }
  [[nodiscard]] int Home(Tensor tensor, int block) const {
    return home_.RankOf(static_cast<std::int64_t>(block) *
                        (Query(tensor) ? shape_.block.q : shape_.block.k));
  }
  [[nodiscard]] int& At(const BlockItem& item) {
    return at_[static_cast<std::size_t>(item.tensor)]
              [static_cast<std::size_t>(item.head) * Blocks(item.tensor) + item.block];
  }

  /// One round: every block of `tensors` moves once, from the rank that has it.
  std::string Move(const ExchangeRound& round, int ranks, std::initializer_list<Tensor> tensors) {
    if (round.items.size() != static_cast<std::size_t>(ranks) * ranks) {
      return fmt::format("{} lists, expected {}", round.items.size(), ranks * ranks);
    }
    const auto before = at_;
    std::array<std::vector<bool>, 4> moved;
    std::size_t left = 0;
    for (const Tensor tensor : tensors) {
      const auto t = static_cast<std::size_t>(tensor);
      moved[t].assign(at_[t].size(), false);
      left += at_[t].size();
    }
    for (std::size_t pair = 0; pair < round.items.size(); ++pair) {
      const int source = static_cast<int>(pair) / ranks;
      for (const BlockItem& item : round.items[pair]) {
        const auto t = static_cast<std::size_t>(item.tensor);
        if (t >= moved.size() || item.head < 0 || item.head >= shape_.heads || item.block < 0 ||
            item.block >= Blocks(item.tensor) || moved[t].empty()) {
          return fmt::format("an item that is no block of this round from rank {}", source);
        }
        const std::size_t i =
            static_cast<std::size_t>(item.head) * Blocks(item.tensor) + item.block;
        const auto name = [&] {
          return fmt::format("{} head {} block {}", kTensorNames[t], item.head, item.block);
        };
        if (moved[t][i]) return name() + " is sent twice";
        if (before[t][i] != source) {
          return fmt::format(
              "{} is sent by rank {}, but rank {} has it", name(), source, before[t][i]);
        }
        moved[t][i] = true;
        at_[t][i] = static_cast<int>(pair) % ranks;
        --left;
      }
    }
    return left == 0 ? "" : fmt::format("{} blocks are not sent", left);
  }

 private:
  static bool Query(Tensor tensor) { return tensor == Tensor::kQ || tensor == Tensor::kO; }

  const AttentionShape& shape_;
  const HomeLayout& home_;
  std::array<std::vector<int>, 4> at_;
};

/// Checks what the ranks compute, between the rounds.
class ProgramChecker {
 public:
  ProgramChecker(const AttentionShape& shape,
                 const LayerMasks& masks,
                 const Schedule& schedule,
                 Places& places)
      : shape_(shape), masks_(masks), schedule_(schedule), places_(places) {
    row_seen_.assign(static_cast<std::size_t>(shape.heads) * shape.q_blocks(), false);
  }

  std::string Check() {
    if (schedule_.rank.size() != static_cast<std::size_t>(schedule_.ranks)) {
      return "the ranks' programs are not one per rank";
    }
    for (int r = 0; r < schedule_.ranks; ++r) {
      std::string problem = CheckRank(r);
      if (!problem.empty()) return fmt::format("rank {}: {}", r, problem);
    }
    const auto missing = std::find(row_seen_.begin(), row_seen_.end(), false);
    if (missing == row_seen_.end()) return {};
    const auto at = static_cast<int>(missing - row_seen_.begin());
    return fmt::format(
        "head {} row {} is computed nowhere", at / shape_.q_blocks(), at % shape_.q_blocks());
  }

 private:
  std::string CheckRank(int r) {
    const RankProgram& program = schedule_.rank[static_cast<std::size_t>(r)];
    if (program.columns.size() != static_cast<std::size_t>(schedule_.steps)) {
      return fmt::format("{} ring steps, expected {}", program.columns.size(), schedule_.steps);
    }
    for (std::size_t h = 0; h < program.heads.size(); ++h) {
      if (program.heads[h].head < 0 || program.heads[h].head >= shape_.heads) {
        return fmt::format("head {} does not exist", program.heads[h].head);
      }
      Bits columns(static_cast<std::size_t>(shape_.k_blocks() + 63) / 64, 0);
      int holder = r;
      for (std::size_t t = 0; t < program.columns.size(); ++t) {
        std::string problem = AddColumns(program, t, h, holder, columns);
        if (!problem.empty()) return fmt::format("step {}: {}", t, problem);
        if (holder >= 0) holder = schedule_.rank[static_cast<std::size_t>(holder)].ring_next;
        if (holder >= schedule_.ranks) return fmt::format("ring neighbour {}", holder);
      }
      std::string problem = CheckRows(r, program.heads[h], columns);
      if (!problem.empty()) return problem;
    }
    return {};
  }

  /// K/V at step t started on the rank t places on.
  std::string AddColumns(
      const RankProgram& program, std::size_t t, std::size_t h, int holder, Bits& columns) {
    const int head = program.heads[h].head;
    if (program.columns[t].size() != program.heads.size() || program.columns[t][h].head != head) {
      return "columns and rows are not of the same heads";
    }
    for (const int j : program.columns[t][h].cols) {
      if (j < 0 || j >= shape_.k_blocks()) return fmt::format("column {} does not exist", j);
      for (const Tensor tensor : {Tensor::kK, Tensor::kV}) {
        if (holder < 0 || places_.At({tensor, head, j}) != holder) {
          return fmt::format("{} head {} block {} is not at hand",
                             kTensorNames[static_cast<std::size_t>(tensor)],
                             head,
                             j);
        }
      }
      std::uint64_t& word = columns[static_cast<std::size_t>(j) / 64];
      const std::uint64_t bit = 1ULL << (j % 64);
      if ((word & bit) != 0) return fmt::format("head {} column {} is used twice", head, j);
      word |= bit;
    }
    return {};
  }

  std::string CheckRows(int r, const HeadRows& rows, const Bits& columns) {
    const BlockMask& mask = *masks_.head[static_cast<std::size_t>(rows.head)];
    for (const int i : rows.rows) {
      if (i < 0 || i >= shape_.q_blocks()) return fmt::format("row {} does not exist", i);
      const std::size_t at = static_cast<std::size_t>(rows.head) * shape_.q_blocks() + i;
      if (row_seen_[at]) return fmt::format("head {} row {} is computed twice", rows.head, i);
      row_seen_[at] = true;
      if (places_.At({Tensor::kQ, rows.head, i}) != r) {
        return fmt::format("Q head {} block {} is not at hand", rows.head, i);
      }
      places_.At({Tensor::kO, rows.head, i}) = r;
      const auto kept = mask.row(i);
      for (std::size_t w = 0; w < kept.size(); ++w) {
        if ((kept[w] & ~columns[w]) != 0) {
          return fmt::format("head {} row {}: a kept block is not computed", rows.head, i);
        }
      }
    }
    return {};
  }

  const AttentionShape& shape_;
  const LayerMasks& masks_;
  const Schedule& schedule_;
  Places& places_;
  std::vector<bool> row_seen_;
};

/// Steps and layers of the cells: the full rectangle, nothing missing. Cells are sorted and unique.
void CheckCells(const Plan& plan, const std::string& origin, ErrorCode code) {
  if (plan.cells.empty()) Fail(code, "{}: key 'cells': expected at least one, found none", origin);
  const int first_step = plan.cells.front().step;
  const int first_layer = plan.cells.front().layer;
  const int last_layer = plan.cells.back().layer;
  int step = first_step;
  int layer = first_layer;
  for (std::size_t i = 0; i < plan.cells.size(); ++i) {
    if (plan.cells[i].step != step || plan.cells[i].layer != layer) {
      Fail(code,
           "{}: key 'cells[{}]': expected step {} layer {}, found step {} layer {}; a plan holds "
           "every layer of every step in its range",
           origin,
           i,
           step,
           layer,
           plan.cells[i].step,
           plan.cells[i].layer);
    }
    if (++layer > last_layer) {
      layer = first_layer;
      ++step;
    }
  }
}

/// The same partition with one head in every group that has any.
Partition OneHeadEach(const Partition& partition) {
  Partition small = partition;
  small.heads = 0;
  for (HeadGroup& group : small.groups) {
    if (!group.heads.empty()) group.heads = {small.heads++};
  }
  return small;
}

std::string StrategyProblem(const Plan& plan, const Strategy& strategy) {
  const Partition partition =
      OneHeadEach(plan.partitions[static_cast<std::size_t>(strategy.partition)]);
  AttentionShape shape = plan.shape;
  shape.heads = partition.heads;
  LayerMasks masks;
  masks.head.assign(
      static_cast<std::size_t>(shape.heads),
      std::make_shared<BlockMask>(BlockMask::Full(shape.q_blocks(), shape.k_blocks())));
  const HomeLayout home = MakeHomeLayout(shape, partition.ranks);
  try {
    return ScheduleProblem(
        shape, masks, home, BuildSchedule(shape, masks, partition, strategy, home));
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace

std::string ScheduleProblem(const AttentionShape& shape,
                            const LayerMasks& masks,
                            const HomeLayout& home,
                            const Schedule& schedule) {
  if (home.ranks() != schedule.ranks) {
    return fmt::format("the home layout has {} ranks, the lists {}", home.ranks(), schedule.ranks);
  }
  Places places(shape, home);
  for (std::size_t i = 0; i < schedule.before.size(); ++i) {
    const std::string problem =
        places.Move(schedule.before[i], schedule.ranks, {Tensor::kQ, Tensor::kK, Tensor::kV});
    if (!problem.empty()) return fmt::format("round {} before: {}", i, problem);
  }
  std::string problem = ProgramChecker(shape, masks, schedule, places).Check();
  if (!problem.empty()) return problem;
  for (std::size_t i = 0; i < schedule.after.size(); ++i) {
    problem = places.Move(schedule.after[i], schedule.ranks, {Tensor::kO});
    if (!problem.empty()) return fmt::format("round {} after: {}", i, problem);
  }
  for (int head = 0; head < shape.heads; ++head) {
    for (int i = 0; i < shape.q_blocks(); ++i) {
      if (places.At({Tensor::kO, head, i}) != places.Home(Tensor::kO, i)) {
        return fmt::format("O head {} block {} does not come home", head, i);
      }
    }
  }
  return {};
}

void ValidatePlan(const Plan& plan, const std::string& origin, ErrorCode code) {
  CheckPlan(plan, origin, code);
  CheckCells(plan, origin, code);
  for (std::size_t i = 0; i < plan.strategies.size(); ++i) {
    const std::string problem = StrategyProblem(plan, plan.strategies[i]);
    if (!problem.empty()) Fail(code, "{}: key 'strategies[{}]': {}", origin, i, problem);
  }
}

}  // namespace dbsp::planner
