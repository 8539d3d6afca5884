// SPDX-License-Identifier: Apache-2.0
// The state that SearchHeadFills changes: whole heads on ranks, split heads that fill the ranks up,
// and the volume that every rank receives.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "planner/placement/head_fill.h"
#include "planner/placement/receive_volume_model.h"

namespace dbsp::planner {

/// Use: make a move, Evaluate() it, then Commit() or Rollback(). A move is evaluated from the first
/// rank that it changes. A filler is a split head.
class HeadAssignment {
 public:
  static constexpr int kFiller = -1;
  static constexpr int kAtHome = -2;

  /// Takes the heaviest heads first and leaves each whole on its rank in `owner` if the load limit
  /// allows it. The other heads become fillers. Heads at home lie on all ranks and do not move.
  /// keeps    the model
  /// requires limit * ranks >= the load of all heads
  HeadAssignment(const ReceiveVolumeModel& model,
                 std::span<const int> owner,
                 const HeadFillOptions& options);

  /// Moves. Each returns false and changes nothing if whole heads would exceed the limit or if
  /// nothing would change. Evaluate() must follow before the next move.
  bool SwapHeads(int a, int b);
  /// Swaps the ranks at two positions of the fill order.
  bool SwapRanks(std::size_t a, std::size_t b);
  /// Swaps the a-th and the b-th filler.
  bool SwapFillers(std::size_t a, std::size_t b);
  /// Moves a head to a rank, or makes it the n-th filler if `rank` is kFiller.
  /// requires n <= filling() for a filler
  bool Assign(int head, int rank, std::size_t n = 0);

  /// The heaviest head that fits the load limit of `rank` once `gone` has left it (kFiller: none
  /// leaves). Heads of `rank` itself are left out. Returns kFiller if no head fits.
  [[nodiscard]] int Fitting(int rank, int gone) const;

  /// Volume that the busiest rank receives after the move. Above `most` the result may be any
  /// number above `most`.
  double Evaluate(double most);
  /// Makes the last move permanent. requires a preceding Evaluate() with a result <= its `most`
  void Commit();
  /// Undoes the last move. requires a preceding Evaluate()
  void Rollback();

  [[nodiscard]] double busiest() const { return now_.volume; }
  [[nodiscard]] int busiest_rank() const { return now_.rank; }
  /// Sum of the squares of the received volumes, at the last complete Evaluate().
  [[nodiscard]] double squares() const { return next_.squares; }
  /// Heads that moves may take.
  [[nodiscard]] std::span<const int> placed() const { return by_load_; }
  [[nodiscard]] std::size_t filling() const { return filling_; }
  [[nodiscard]] int filler(std::size_t n) const { return fillers_[n]; }
  [[nodiscard]] int rank_at(std::size_t position) const { return order_[position]; }
  /// Rank of a whole head, kFiller for a split one.
  [[nodiscard]] int OwnerOf(int head) const { return owner_[head]; }
  /// [rank] received volume
  [[nodiscard]] std::vector<double> Received() const;
  /// The placement. Loads of parts are rounded down to whole blocks.
  [[nodiscard]] HeadFill Finish() const;

 private:
  enum class Kind : std::uint8_t { kNone, kHeads, kRanks, kFillers, kAssign };
  /// State before the rank at one position of the fill order is filled.
  struct FillState {
    std::size_t filler = 0;
    double done = 0;  ///< load of that filler on earlier ranks
    double slack = 0;  ///< room on later ranks that no filler needs
  };
  struct Busiest {
    double volume = 0;
    double squares = 0;
    int rank = 0;
    void Add(double received, int of) {
      squares += received * received;
      if (received <= volume) return;
      volume = received;
      rank = of;
    }
  };
  struct Move {
    Kind kind = Kind::kNone;
    std::size_t a = 0;
    std::size_t b = 0;
    int rank = 0;  ///< previous rank of an assigned head
    std::size_t n = 0;  ///< its previous index among the fillers
  };

  [[nodiscard]] std::size_t PositionOf(int rank) const { return position_[rank]; }
  void Count(int head, int rank, double sign);
  [[nodiscard]] bool HasRoom(int head, int gone, int rank) const;
  void Exchange(int a, int b);
  void ExchangeRanks(std::size_t a, std::size_t b);
  void Put(int head, int rank, std::size_t n);
  [[nodiscard]] std::size_t FillerIndex(int head) const;
  /// First position of the fill order on which the n-th filler may have a part.
  [[nodiscard]] std::size_t FirstPosition(std::size_t n) const;
  void MarkChanged(std::size_t position) { changed_ = std::min(changed_, position); }
  /// Fills one rank up and returns the volume it receives. Calls `part(head, load)`, which returns
  /// a volume, for every part.
  template <typename Part>
  double FillRank(int rank, FillState& state, const Part& part) const;

  const ReceiveVolumeModel& model_;
  std::size_t ranks_;
  double limit_;
  std::vector<int> by_load_;  ///< heads that moves may take, heaviest first
  std::vector<int> owner_;  ///< [head] a rank, kFiller or kAtHome
  std::vector<int> fillers_;  ///< in fill order; the first filling_ entries count
  std::size_t filling_ = 0;
  std::vector<int> order_;  ///< [position] rank, in fill order
  std::vector<std::size_t> position_;  ///< [rank] index in order_
  std::vector<double> load_;  ///< [rank] load of whole heads
  std::vector<double> cost_;  ///< [rank] volume of whole heads
  std::vector<FillState> state_;  ///< [position], and after the last rank
  std::vector<FillState> next_state_;
  std::vector<double> received_;  ///< [position]
  std::vector<double> next_received_;
  std::size_t changed_ = 0;  ///< first position that the move changes
  Move move_;
  Busiest now_;
  Busiest next_;  ///< of the last Evaluate()
};

}  // namespace dbsp::planner
