// SPDX-License-Identifier: Apache-2.0
// Reuse of plans over denoising steps, on measured counts: rows of planner_vs_dbsp.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace dbsp::planner {

/// shape  counts[step * layers + layer][head]; masks of `rows` x `cols` blocks
/// print  takes the case of a row, the best value today, the goal and the reached value
void ReuseRows(
    const std::vector<std::vector<std::int64_t>>& counts,
    int layers,
    int rows,
    int cols,
    const std::function<void(
        const std::string&, const std::string&, const std::string&, const std::string&)>& print);

}  // namespace dbsp::planner
