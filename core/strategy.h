// SPDX-License-Identifier: Apache-2.0
// The strategy of one (step, layer), and the timeline of running it.
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
/// errors  Error{kInvalidArgument} naming the nearest known name
[[nodiscard]] Family ParseFamily(std::string_view name);
[[nodiscard]] Exchange ParseExchange(std::string_view name);

/// Numbering of ranks. With CFG degree C, the P ranks of a plan form C pass groups of P / C ranks,
/// and every pass group runs one guidance pass: rank = pass_group * (P / C) + rank in the group.
/// Partitions, home layouts, schedules and predictions are of one pass on one group, whose ranks
/// are numbered from 0. U * R = P / C, and in every U x R family rank in the group = ring_index *
/// ulysses_degree + head group.
struct Strategy {
  Family family = Family::kUlysses;
  int cfg_degree = 1;  ///< number of pass groups C; all strategies of a plan share it
  int ulysses_degree = 1;  ///< head-parallel degree U
  int ring_degree = 1;  ///< block-parallel degree R
  Exchange exchange = Exchange::kAllToAll;
  int chunks = 1;  ///< chunks of heads; the exchange of one overlaps the attention of another
  int layout = 0;  ///< index into Plan::layouts; 0 is the order of tokens as given
  int partition = 0;  ///< index into Plan::partitions
  std::string kernel;  ///< kernel variant; "" is the default of the device
  bool operator==(const Strategy&) const = default;
};

/// Number of ranks that share one pass. requires cfg_degree divides ranks
[[nodiscard]] constexpr int PassRanks(int ranks, int cfg_degree) { return ranks / cfg_degree; }
/// Number of waves needed to run all guidance passes of a step when cfg_degree of them run at the
/// same time. A step takes this many times the time of one pass.
[[nodiscard]] constexpr int SequentialWaves(int passes, int cfg_degree) {
  return (passes + cfg_degree - 1) / cfg_degree;
}

enum class SegmentKind : std::uint8_t { kPack, kExchange, kUnpack, kAttention, kHop, kMerge };
inline constexpr int kSegmentKinds = 6;
[[nodiscard]] const char* NameOf(SegmentKind kind);  ///< "pack", "exchange", ...
[[nodiscard]] SegmentKind ParseSegmentKind(std::string_view name);

/// One interval of the timeline of one rank.
struct Segment {
  int rank = 0;
  SegmentKind kind = SegmentKind::kPack;
  int index = 0;  ///< round of a pack, exchange or unpack; ring step of the others
  std::int64_t start_ns = 0;  ///< since the start of the layer
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

/// Timeline of one layer on all ranks.
struct Timeline {
  std::vector<Segment> segments;  ///< sorted by rank, then start
  std::int64_t makespan_ns = 0;
  bool operator==(const Timeline&) const = default;
};

}  // namespace dbsp
