// SPDX-License-Identifier: Apache-2.0
#include "core/list_statistics.h"

#include <algorithm>

namespace dbsp {

std::int64_t RunsOf(std::span<const std::int32_t> keys) {
  std::int64_t runs = keys.empty() ? 0 : 1;
  for (std::size_t i = 1; i < keys.size(); ++i) runs += keys[i] != keys[i - 1] + 1 ? 1 : 0;
  return runs;
}

void AddList(std::span<const std::int32_t> keys, ListStatistics& statistics) {
  const auto count = static_cast<std::int64_t>(keys.size());
  statistics.padded_keys += PaddedTo(count, statistics.step);
  statistics.max_keys = std::max(statistics.max_keys, count);
  statistics.runs += RunsOf(keys);
}

}  // namespace dbsp
