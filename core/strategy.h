// SPDX-License-Identifier: Apache-2.0
// How one (step, layer) is run, and the timeline such a run has. Vocabulary of DESIGN.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dbsp {

enum class Family : std::uint8_t { kUlysses, kRing, kUsp, kDbsp, kBalanced, kPlaced };
enum class Exchange : std::uint8_t { kAllToAll, kRing, kAllGather, kNeeded };

/// Names as in flags and files: "ulysses", "alltoall", ...
[[nodiscard]] const char* NameOf(Family family);
[[nodiscard]] const char* NameOf(Exchange exchange);
/// errors  Error{kInvalidArgument} naming the nearest known one
[[nodiscard]] Family ParseFamily(std::string_view name);
[[nodiscard]] Exchange ParseExchange(std::string_view name);

/// Rank numbering: with cfg degree C the P ranks of a plan are C pass groups of P / C ranks, one
/// behind the other, each of which runs a guidance pass of its own: rank = pass_group * (P / C) +
/// rank in the group. All the rest (partitions, homes, schedules, predictions) is of one pass on
/// the P / C ranks of a group, numbered from 0: U * R = P / C, and in every U x R family rank in
/// the group = ring_index * ulysses_degree + head group.
struct Strategy {
  Family family = Family::kUlysses;
  int cfg_degree = 1;  ///< CFG passes on separate ranks, C; the same in a whole plan
  int ulysses_degree = 1;  ///< head parallel degree U
  int ring_degree = 1;  ///< block parallel degree R
  Exchange exchange = Exchange::kAllToAll;
  int chunks = 1;  ///< head chunks whose exchanges overlap attention
  int layout = 0;  ///< index into Plan::layouts; 0 = tokens as given
  int partition = 0;  ///< index into Plan::partitions
  std::string kernel;  ///< kernel variant, "" = the device's default
  bool operator==(const Strategy&) const = default;
};

/// Ranks that share one pass. requires cfg_degree divides ranks
[[nodiscard]] constexpr int PassRanks(int ranks, int cfg_degree) { return ranks / cfg_degree; }
/// Turns that the passes of a step take one after the other, C of them at the same time: what the
/// time of one pass is multiplied by.
[[nodiscard]] constexpr int SequentialWaves(int passes, int cfg_degree) {
  return (passes + cfg_degree - 1) / cfg_degree;
}

enum class SegmentKind : std::uint8_t { kPack, kExchange, kUnpack, kAttention, kHop, kMerge };
inline constexpr int kSegmentKinds = 6;
[[nodiscard]] const char* NameOf(SegmentKind kind);  ///< "pack", "exchange", ...
[[nodiscard]] SegmentKind ParseSegmentKind(std::string_view name);

/// One interval of one rank's timeline.
struct Segment {
  int rank = 0;
  SegmentKind kind = SegmentKind::kPack;
  int index = 0;  ///< round of pack/exchange/unpack, ring step of the others
  std::int64_t start_ns = 0;  ///< from the start of the layer
  std::int64_t duration_ns = 0;
  std::int64_t bytes = 0;  ///< moved between ranks or copied; 0 for attention
  /// Predicted attention only: its duration without the slowdown by concurrent exchanges. Missing
  /// when nothing slows it down.
  std::optional<std::int64_t> alone_ns = std::nullopt;
  /// Replayed segments only: the duration that the plan predicts for the segment with the same rank
  /// of a pass group, kind and index. Missing when the plan predicts no such segment.
  std::optional<std::int64_t> predicted_ns = std::nullopt;
  bool operator==(const Segment&) const = default;
};

/// One layer on all ranks.
struct Timeline {
  std::vector<Segment> segments;  ///< by rank, then start
  std::int64_t makespan_ns = 0;
  bool operator==(const Timeline&) const = default;
};

}  // namespace dbsp
