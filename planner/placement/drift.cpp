// SPDX-License-Identifier: Apache-2.0
#include "planner/placement/drift.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace dbsp::planner {

std::vector<std::int64_t> PredictCounts(std::span<const std::int64_t> now,
                                        std::span<const std::int64_t> before,
                                        double gain) {
  if (!before.empty() && before.size() != now.size()) {
    Fail(ErrorCode::kInvalidArgument,
         "prediction of counts: {} now, {} before",
         now.size(),
         before.size());
  }
  std::vector<std::int64_t> next(now.begin(), now.end());
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (now[i] == 0 && before[i] == 0) continue;
    const double change = gain * static_cast<double>(now[i] - before[i]);
    next[i] = std::max<std::int64_t>(1, std::llround(static_cast<double>(now[i]) + change));
  }
  return next;
}

}  // namespace dbsp::planner
