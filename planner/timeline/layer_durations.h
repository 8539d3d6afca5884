// SPDX-License-Identifier: Apache-2.0
// Durations of the segments of one layer: the input of the timeline simulators.
#pragma once

#include <vector>

namespace dbsp::planner {

/// Factor by which work takes longer while attention and the traffic of its rank's link overlap.
struct OverlapSlowdown {
  double attention = 1;  ///< of the rank's attention, beside this traffic
  double exchange = 1;  ///< of this traffic, while a rank at one of its ends computes attention
  bool operator==(const OverlapSlowdown&) const = default;
};

/// Nanoseconds of every segment without overlap, in the index order of LayerVolumes.
struct LayerDurations {
  std::vector<std::vector<double>> pack;  ///< [rounds][rank]
  std::vector<std::vector<double>> exchange;  ///< [rounds][rank], equal inside a component
  std::vector<std::vector<double>> unpack;  ///< [rounds][rank]
  std::vector<std::vector<double>> attention;  ///< [steps][rank]
  std::vector<std::vector<double>> merge;  ///< [steps][rank], 0 in step 0
  std::vector<std::vector<double>> hop;  ///< [steps - 1][rank]
  /// [rounds][rank], equal inside a component. Empty if exchanges and attention do not overlap, or
  /// overlap without a slowdown.
  std::vector<std::vector<OverlapSlowdown>> exchange_slowdown = {};
  std::vector<OverlapSlowdown> hop_slowdown = {};  ///< [rank]; empty as above
};

}  // namespace dbsp::planner
