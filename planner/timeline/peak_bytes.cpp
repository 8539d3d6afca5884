// SPDX-License-Identifier: Apache-2.0
#include "planner/timeline/peak_bytes.h"

#include <fmt/format.h>

#include <algorithm>

namespace dbsp::planner {

std::vector<std::int64_t> PeakBytes(const LayerVolumes& work) {
  const auto before = static_cast<std::size_t>(work.rounds_before);
  std::vector<std::int64_t> peak;
  for (int r = 0; r < work.ranks; ++r) {
    if (work.chunks > 1) {  // every chunk has its own buffers
      std::int64_t sum = 0;
      for (std::size_t c = 0; c < before; ++c) {
        sum += work.rounds[c].Unpacked(r) + work.rounds[before + c].Packed(r);
      }
      peak.push_back(sum);
      continue;
    }
    // The first round after attention sends exactly O, which has the size of Q.
    const std::int64_t rows = work.rounds[before].Packed(r);
    std::int64_t present = work.rounds[before - 1].Unpacked(r) - rows;
    std::int64_t columns = present;
    for (const auto& hop : work.hop_bytes) {
      const std::int64_t fetched = hop[r];
      columns = std::max(columns, present + fetched);
      present = fetched;
    }
    peak.push_back((work.steps > 1 ? 3 : 2) * rows + columns);
  }
  return peak;
}

Status CheckMemory(const LayerVolumes& work, std::int64_t cap) {
  const std::vector<std::int64_t> peak = PeakBytes(work);
  const auto most = std::max_element(peak.begin(), peak.end());
  if (*most <= cap) return {};
  return Problem("rank {} holds {} bytes, expected at most {}", most - peak.begin(), *most, cap);
}

}  // namespace dbsp::planner
