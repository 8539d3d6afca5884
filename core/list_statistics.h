// SPDX-License-Identifier: Apache-2.0
// What the time of gather attention depends on: statistics of lists of single keys.
#pragma once

#include <cstdint>
#include <span>

namespace dbsp {

/// Of all lists of a call, one list per (head, query block). A run is a maximal group of successive
/// keys of one list.
struct ListStatistics {
  int step = 128;  ///< keys that the kernel computes together; a list's last step may be partial
  std::int64_t padded_keys = 0;  ///< sum over the lists of their keys, rounded up to the step
  std::int64_t max_keys = 0;  ///< of one list
  std::int64_t runs = 0;
  bool operator==(const ListStatistics&) const = default;
};

/// Adds one list to `statistics`.
/// requires statistics.step >= 1, keys ascending
void AddList(std::span<const std::int32_t> keys, ListStatistics& statistics);

/// Number of runs of `keys` ascending keys.
[[nodiscard]] std::int64_t RunsOf(std::span<const std::int32_t> keys);

/// `keys` rounded up to a multiple of `step`. requires keys >= 0, step >= 1
[[nodiscard]] constexpr std::int64_t PaddedTo(std::int64_t keys, int step) {
  return (keys + step - 1) / step * step;
}

}  // namespace dbsp
