// SPDX-License-Identifier: Apache-2.0
// Whole heads on ranks and the heads that fill them up, with what every rank receives: the state
// that planner/placement/head_fill.h searches in. A move is made, looked at from the first rank it
// changes, and kept or undone.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "planner/placement/head_fill.h"

namespace dbsp::planner {

/// What a rank receives for a head, by the model of SearchHeadFills; 1 is Q of all its rows.
class ReceiveVolumeModel {
 public:
  /// needs: NeedsOf the masks; where it is empty a part's blocks are taken to be at random columns
  ReceiveVolumeModel(std::span<const std::int64_t> totals,
                     int ranks,
                     double columns,
                     std::span<const double> needs = {});

  [[nodiscard]] int ranks() const { return ranks_; }
  [[nodiscard]] std::size_t heads() const { return total_.size(); }
  [[nodiscard]] double Total(int head) const { return total_[head]; }
  /// O of its own rows of every head: what a rank without work receives.
  [[nodiscard]] double Idle() const { return static_cast<double>(heads()) * home_; }
  /// Of a whole head, O of its own rows that does not come back taken off. A multiple of 2^-30, so
  /// that sums are exact in any order.
  [[nodiscard]] double Whole(int head) const { return whole_[head]; }
  /// Of a part of `load` active blocks, likewise. requires 0 < load <= Total(head)
  [[nodiscard]] double Part(double load, int head) const;
  /// On each rank, of a head of which every row stays at home. requires needs
  [[nodiscard]] double AtHome(int head) const;
  /// Least that the busiest rank receives of all placements with a split head, were all heads the
  /// one whose parts cost least: some rank has at least heads / ranks of them, and where one is a
  /// part, it has as many parts as heads are then wanting, and one more.
  [[nodiscard]] double LeastSplit(const std::vector<bool>& at_home) const;

 private:
  std::vector<double> total_;
  std::vector<double> per_load_;  ///< [head] 1 / total
  std::vector<double> whole_;
  std::vector<double> needs_;
  int ranks_;
  double per_column_;
  double home_;  ///< part of the blocks that are at home on a rank
  double away_;
};

class HeadAssignment {
 public:
  static constexpr int kFiller = -1;
  static constexpr int kAtHome = -2;

  /// Heads of `owner` whole as far as they keep within the limit, heaviest first; the rest fill.
  /// Those at home are on all ranks, and no move may take them.
  /// keeps the model
  /// requires limit * ranks >= all heads' load
  HeadAssignment(const ReceiveVolumeModel& model,
                 std::span<const int> owner,
                 const HeadFillOptions& options);

  /// Moves; each is refused (false, nothing changed) where whole heads would exceed the limit or
  /// nothing would change. Evaluate() before the next one.
  bool SwapHeads(int a, int b);
  bool SwapRanks(std::size_t a, std::size_t b);  ///< places in the order
  bool SwapFillers(std::size_t a, std::size_t b);
  /// To a rank, or to the fillers, as the n-th of them. requires n <= filling() where it fills
  bool Assign(int head, int rank, std::size_t n = 0);

  /// The heaviest head that, in exchange for `gone` (none where it is kFiller), fits a rank's whole
  /// heads within the limit; kFiller where there is none but those it has.
  [[nodiscard]] int Fitting(int rank, int gone) const;

  /// What the busiest rank receives after the move; above `most` it may be any number above it.
  double Evaluate(double most);
  /// The last move stays, or is undone. requires Evaluate() since; not above its `most` for
  /// Commit()
  void Commit();
  void Rollback();

  [[nodiscard]] double busiest() const { return now_.busiest; }
  [[nodiscard]] int busiest_rank() const { return now_.rank; }
  /// Sum of the squares of what ranks receive, at the last Evaluate() that ended.
  [[nodiscard]] double squares() const { return next_.squares; }
  /// Heads that moves may take.
  [[nodiscard]] std::span<const int> placed() const { return falling_; }
  [[nodiscard]] std::size_t filling() const { return filling_; }
  [[nodiscard]] int filler(std::size_t n) const { return fillers_[n]; }
  [[nodiscard]] int rank_at(std::size_t place) const { return order_[place]; }
  /// Rank of a whole head, else kFiller.
  [[nodiscard]] int OwnerOf(int head) const { return owner_[head]; }
  /// [rank] what each receives
  [[nodiscard]] std::vector<double> Received() const;
  /// The placement with its parts' loads, cut down to whole blocks.
  [[nodiscard]] HeadFill Finish() const;

 private:
  enum class Kind : std::uint8_t { kNone, kHeads, kRanks, kFillers, kGive };
  /// Before the n-th rank of the order is filled up.
  struct At {
    std::size_t filler = 0;
    double done = 0;  ///< load of that filler which ranks before have
    double slack = 0;  ///< room that no filler needs
  };
  struct Most {
    double busiest = 0;
    double squares = 0;
    int rank = 0;
    void Add(double received, int of) {
      squares += received * received;
      if (received <= busiest) return;
      busiest = received;
      rank = of;
    }
  };
  struct Move {
    Kind kind = Kind::kNone;
    std::size_t a = 0;
    std::size_t b = 0;
    int rank = 0;  ///< where a given head was
    std::size_t n = 0;  ///< its place among the fillers
  };

  [[nodiscard]] std::size_t PlaceOf(int rank) const { return place_[rank]; }
  void Count(int head, int rank, double sign);
  [[nodiscard]] bool HasRoom(int head, int gone, int rank) const;
  void Exchange(int a, int b);
  void ExchangeRanks(std::size_t a, std::size_t b);
  void Put(int head, int rank, std::size_t n);
  [[nodiscard]] std::size_t PlaceOfFiller(int head) const;
  /// First rank of the order that the n-th filler may have a part on.
  [[nodiscard]] std::size_t FirstOf(std::size_t n) const;
  void Dirty(std::size_t place) { dirty_ = std::min(dirty_, place); }
  /// One rank of the order filled up; what it then receives. `part(head, load)` sees its parts.
  template <typename Part>
  double FillRank(int rank, At& at, const Part& part) const;

  const ReceiveVolumeModel& model_;
  std::size_t ranks_;
  double limit_;
  std::vector<int> falling_;  ///< heads that are placed, by falling load
  std::vector<int> owner_;  ///< [head] kFiller for the heads that fill up, kAtHome
  std::vector<int> fillers_;  ///< in order, the first filling_ of them
  std::size_t filling_ = 0;
  std::vector<int> order_;  ///< ranks in the order they are filled up
  std::vector<std::size_t> place_;  ///< [rank] in the order
  std::vector<double> load_;  ///< [rank] of whole heads
  std::vector<double> cost_;  ///< [rank] of whole heads
  std::vector<At> at_;  ///< [place], and after the last
  std::vector<At> next_at_;
  std::vector<double> received_;  ///< [place]
  std::vector<double> next_received_;
  std::size_t dirty_ = 0;  ///< first place that the move changes
  Move move_;
  Most now_;
  Most next_;  ///< of the last Evaluate()
};

}  // namespace dbsp::planner
