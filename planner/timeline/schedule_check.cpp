// SPDX-License-Identifier: Apache-2.0
#include "planner/timeline/schedule_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <span>
#include <vector>

#include "core/matrix.h"
#include "planner/timeline/chunks.h"

namespace dbsp::planner {
namespace {

using Bits = std::vector<std::uint64_t>;

/// Which ranks have each block, as the rounds move it. Q and O are on one rank; K and V may be on
/// several ranks, and on none if no row needs them. O is nowhere until it is computed.
class Places {
 public:
  Places(const AttentionShape& shape, const HomeLayout& home)
      : shape_(shape), home_(home), words_(static_cast<std::size_t>(home.ranks() + 63) / 64) {
    for (const Tensor tensor : {Tensor::kQ, Tensor::kK, Tensor::kV, Tensor::kO}) {
      Clear(tensor);
      for (int head = 0; tensor != Tensor::kO && head < shape.heads; ++head) {
        for (int block = 0; block < Blocks(tensor); ++block) {
          Add({tensor, head, block}, Home(tensor, block));
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
  [[nodiscard]] bool Has(const BlockItem& item, int rank) const {
    return ((Ranks(item)[static_cast<std::size_t>(rank) / 64] >> (rank % 64)) & 1U) != 0;
  }
  [[nodiscard]] int Count(const BlockItem& item) const {
    int count = 0;
    for (const std::uint64_t word : Ranks(item)) count += std::popcount(word);
    return count;
  }
  void Add(const BlockItem& item, int rank) {
    at_[Index(item.tensor)][Offset(item) + static_cast<std::size_t>(rank) / 64] |= 1ULL
                                                                                   << (rank % 64);
  }

  /// One round: blocks of `tensors` go from ranks that have them to the ranks that have them next.
  /// Returns what is wrong with the round.
  Status Move(const ExchangeRound& round, int ranks, std::initializer_list<Tensor> tensors) {
    if (round.items.size() != static_cast<std::size_t>(ranks) * ranks) {
      return Problem("{} lists, expected {}", round.items.size(), ranks * ranks);
    }
    Places next(*this);
    std::array<bool, 4> moves{};
    std::int64_t left = 0;
    for (const Tensor tensor : tensors) {
      next.Clear(tensor);
      moves[Index(tensor)] = true;
      if (Query(tensor)) left += static_cast<std::int64_t>(shape_.heads) * Blocks(tensor);
    }
    for (std::size_t pair = 0; pair < round.items.size(); ++pair) {
      const int source = static_cast<int>(pair) / ranks;
      const int target = static_cast<int>(pair) % ranks;
      for (const BlockItem& item : round.items[pair]) {
        if (Index(item.tensor) >= moves.size() || !moves[Index(item.tensor)] || item.head < 0 ||
            item.head >= shape_.heads || item.block < 0 || item.block >= Blocks(item.tensor)) {
          return Problem("rank {} sends an item that is not a block of this round", source);
        }
        const bool query = Query(item.tensor);
        if (next.Has(item, target) || (query && next.Count(item) > 0)) {
          return Problem("{} is sent twice", BlockName(item));
        }
        if (!Has(item, source)) {
          return Problem("{} is sent by rank {}, which does not have it", BlockName(item), source);
        }
        next.Add(item, target);
        left -= query ? 1 : 0;
      }
    }
    at_ = std::move(next.at_);
    if (left > 0) return Problem("{} blocks are not sent", left);
    return {};
  }

  static std::string BlockName(const BlockItem& item) {
    constexpr std::array<const char*, 4> kNames{"Q", "K", "V", "O"};
    return fmt::format("{} head {} block {}", kNames[Index(item.tensor)], item.head, item.block);
  }

 private:
  static bool Query(Tensor tensor) { return tensor == Tensor::kQ || tensor == Tensor::kO; }
  static std::size_t Index(Tensor tensor) { return static_cast<std::size_t>(tensor); }
  [[nodiscard]] std::size_t Offset(const BlockItem& item) const {
    return (static_cast<std::size_t>(item.head) * Blocks(item.tensor) +
            static_cast<std::size_t>(item.block)) *
           words_;
  }
  [[nodiscard]] std::span<const std::uint64_t> Ranks(const BlockItem& item) const {
    return std::span(at_[Index(item.tensor)]).subspan(Offset(item), words_);
  }
  void Clear(Tensor tensor) {
    at_[Index(tensor)].assign(static_cast<std::size_t>(shape_.heads) * Blocks(tensor) * words_, 0);
  }

  const AttentionShape& shape_;
  const HomeLayout& home_;
  std::size_t words_;  // of one block: a bit per rank
  std::array<Bits, 4> at_;
};

/// Checks what the ranks compute, between the rounds.
class ProgramChecker {
 public:
  ProgramChecker(const AttentionShape& shape,
                 const LayerMasks& masks,
                 const Schedule& schedule,
                 Places& places)
      : shape_(shape),
        masks_(masks),
        schedule_(schedule),
        places_(places),
        row_seen_(static_cast<std::size_t>(shape.heads), shape.q_blocks(), 0),
        listed_(static_cast<std::size_t>(shape.heads), shape.k_blocks(), 0) {}

  Status Check() {
    if (schedule_.rank.size() != static_cast<std::size_t>(schedule_.ranks)) {
      return Status("expected one program per rank");
    }
    for (int r = 0; r < schedule_.ranks; ++r) {
      const Status checked = CheckRank(r);
      if (!checked.ok()) return Problem("rank {}: {}", r, checked.message());
    }
    if (Status listed = CheckListed(); !listed.ok()) return listed;
    const auto seen = row_seen_.values();
    const auto missing = std::ranges::find(seen, 0);
    if (missing == seen.end()) return CheckHops();
    const auto at = static_cast<int>(missing - seen.begin());
    return Problem(
        "head {} row {} is computed nowhere", at / shape_.q_blocks(), at % shape_.q_blocks());
  }

 private:
  Status CheckRank(int r) {
    const RankSchedule& program = schedule_.rank[r];
    if (program.columns.size() != static_cast<std::size_t>(schedule_.steps)) {
      return Problem("{} ring steps, expected {}", program.columns.size(), schedule_.steps);
    }
    for (std::size_t h = 0; h < program.heads.size(); ++h) {
      if (program.heads[h].head < 0 || program.heads[h].head >= shape_.heads) {
        return Problem("head {} does not exist", program.heads[h].head);
      }
      if (h > 0 && program.heads[h].head <= program.heads[h - 1].head) {
        return Problem("head {} comes after head {}, expected ascending heads",
                       program.heads[h].head,
                       program.heads[h - 1].head);
      }
      Bits columns(static_cast<std::size_t>(shape_.k_blocks() + 63) / 64, 0);
      int holder = r;
      for (std::size_t t = 0; t < program.columns.size(); ++t) {
        const Status checked = AddColumns(program, t, h, holder, columns);
        if (!checked.ok()) return Problem("step {}: {}", t, checked.message());
        if (holder >= 0) holder = schedule_.rank[holder].ring_next;
        if (holder >= schedule_.ranks) return Problem("ring neighbour {}", holder);
      }
      Status checked = CheckRows(r, program.heads[h], columns);
      if (!checked.ok()) return checked;
    }
    return {};
  }

  /// Adds the columns of step t. Their K/V started on the rank t positions further in the ring.
  Status AddColumns(
      const RankSchedule& program, std::size_t t, std::size_t h, int holder, Bits& columns) {
    const int head = program.heads[h].head;
    if (program.columns[t].size() != program.heads.size() || program.columns[t][h].head != head) {
      return Status("the columns belong to other heads than the rows");
    }
    for (const int j : program.columns[t][h].cols) {
      if (j < 0 || j >= shape_.k_blocks()) return Problem("column {} does not exist", j);
      for (const Tensor tensor : {Tensor::kK, Tensor::kV}) {
        if (holder < 0 || !places_.Has({tensor, head, j}, holder)) {
          return Problem("{} is not on the rank", Places::BlockName({tensor, head, j}));
        }
      }
      if (t == 0) ++listed_(head, j);
      std::uint64_t& word = columns[static_cast<std::size_t>(j) / 64];
      const std::uint64_t bit = 1ULL << (j % 64);
      if ((word & bit) != 0) return Problem("head {} column {} is used twice", head, j);
      word |= bit;
    }
    return {};
  }

  Status CheckHops() const {
    for (int r = 0; r < schedule_.ranks; ++r) {
      const RankSchedule& program = schedule_.rank[r];
      for (std::size_t t = 1; t < program.columns.size(); ++t) {
        for (std::size_t h = 0; h < program.heads.size(); ++h) {
          const Status checked = CheckHop(program, t, h);
          if (!checked.ok()) return Problem("rank {}: step {}: {}", r, t, checked.message());
        }
      }
    }
    return {};
  }

  /// A hop delivers K/V in the order in which the neighbour had them one step before. The
  /// receiver's list must equal the neighbour's, order included.
  [[nodiscard]] Status CheckHop(const RankSchedule& program, std::size_t t, std::size_t h) const {
    const std::vector<int>& cols = program.columns[t][h].cols;
    if (cols.empty() || program.ring_next < 0 || program.ring_next >= schedule_.ranks) {
      return {};
    }
    const int head = program.heads[h].head;
    const RankSchedule& next = schedule_.rank[program.ring_next];
    if (next.columns.size() >= t) {
      for (const HeadColumns& had : next.columns[t - 1]) {
        if (had.head == head && had.cols == cols) return {};
      }
    }
    return Problem(
        "columns of head {} differ from those of rank {} one step before, or from their order",
        head,
        program.ring_next);
  }

  /// A rank has room only for the K/V that its columns of step 0 name.
  Status CheckListed() {
    for (int head = 0; head < shape_.heads; ++head) {
      for (int j = 0; j < shape_.k_blocks(); ++j) {
        for (const Tensor tensor : {Tensor::kK, Tensor::kV}) {
          if (places_.Count({tensor, head, j}) == listed_(head, j)) continue;
          return Problem("{} is sent to a rank that does not use it",
                         Places::BlockName({tensor, head, j}));
        }
      }
    }
    return {};
  }

  Status CheckRows(int r, const HeadRows& rows, const Bits& columns) {
    const BlockMask& mask = *masks_.head[rows.head];
    for (const int i : rows.rows) {
      if (i < 0 || i >= shape_.q_blocks()) return Problem("row {} does not exist", i);
      if (row_seen_(rows.head, i) != 0)
        return Problem("head {} row {} is computed twice", rows.head, i);
      row_seen_(rows.head, i) = 1;
      if (!places_.Has({Tensor::kQ, rows.head, i}, r)) {
        return Problem("{} is not on the rank", Places::BlockName({Tensor::kQ, rows.head, i}));
      }
      places_.Add({Tensor::kO, rows.head, i}, r);
      const auto active = mask.row(i);
      for (std::size_t w = 0; w < active.size(); ++w) {
        if ((active[w] & ~columns[w]) != 0) {
          return Problem("head {} row {}: an active block is not computed", rows.head, i);
        }
      }
    }
    return {};
  }

  const AttentionShape& shape_;
  const LayerMasks& masks_;
  const Schedule& schedule_;
  Places& places_;
  Matrix<char> row_seen_;  // [heads][q_blocks] 1 for a computed row
  Matrix<int> listed_;  // [heads][k_blocks] ranks that list the column at step 0
};

/// Checks every chunk as a layer.
Status CheckChunks(const AttentionShape& shape,
                   const LayerMasks& masks,
                   const HomeLayout& home,
                   const Schedule& schedule) {
  const auto chunks = static_cast<std::size_t>(schedule.steps);
  if (schedule.chunk_of_head.size() != static_cast<std::size_t>(shape.heads) ||
      schedule.before.size() != chunks || schedule.after.size() != chunks) {
    return Problem("{} chunks of {} heads, {} rounds before and {} after",
                   chunks,
                   schedule.chunk_of_head.size(),
                   schedule.before.size(),
                   schedule.after.size());
  }
  for (int chunk = 0; chunk < schedule.steps; ++chunk) {
    std::vector<int> heads;
    LayerMasks own;
    for (int h = 0; h < shape.heads; ++h) {
      const int of_head = schedule.chunk_of_head[h];
      if (of_head < 0 || of_head >= schedule.steps) {
        return Problem("head {} is in chunk {}", h, of_head);
      }
      if (of_head != chunk) continue;
      heads.push_back(h);
      own.head.push_back(masks.head[h]);
    }
    AttentionShape part = shape;
    part.heads = static_cast<int>(heads.size());
    Schedule lists;
    Status checked = TakeChunk(schedule, chunk, heads, lists);
    if (checked.ok()) checked = CheckSchedule(part, own, home, lists);
    if (!checked.ok()) return Problem("chunk {}: {}", chunk, checked.message());
  }
  return {};
}

}  // namespace

Status CheckSchedule(const AttentionShape& shape,
                     const LayerMasks& masks,
                     const HomeLayout& home,
                     const Schedule& schedule) {
  if (home.ranks() != schedule.ranks) {
    return Problem("the home layout has {} ranks, the lists {}", home.ranks(), schedule.ranks);
  }
  if (!schedule.chunk_of_head.empty()) return CheckChunks(shape, masks, home, schedule);
  Places places(shape, home);
  for (std::size_t i = 0; i < schedule.before.size(); ++i) {
    const Status checked =
        places.Move(schedule.before[i], schedule.ranks, {Tensor::kQ, Tensor::kK, Tensor::kV});
    if (!checked.ok()) return Problem("round {} before: {}", i, checked.message());
  }
  if (Status programs = ProgramChecker(shape, masks, schedule, places).Check(); !programs.ok()) {
    return programs;
  }
  for (std::size_t i = 0; i < schedule.after.size(); ++i) {
    const Status checked = places.Move(schedule.after[i], schedule.ranks, {Tensor::kO});
    if (!checked.ok()) return Problem("round {} after: {}", i, checked.message());
  }
  for (int head = 0; head < shape.heads; ++head) {
    for (int i = 0; i < shape.q_blocks(); ++i) {
      if (!places.Has({Tensor::kO, head, i}, places.Home(Tensor::kO, i))) {
        return Problem("{} does not return home", Places::BlockName({Tensor::kO, head, i}));
      }
    }
  }
  return {};
}

}  // namespace dbsp::planner
