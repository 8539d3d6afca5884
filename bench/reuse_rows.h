// SPDX-License-Identifier: Apache-2.0
// Reuse of plans over steps, on measured counts: rows of planner_vs_dbsp.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace dbsp::planner {

/// shape  counts[step * layers + layer][head]; masks of `rows` x `cols` blocks
/// print  takes a row's case, today's best, goal and what was reached
void ReuseRows(
    const std::vector<std::vector<std::int64_t>>& counts,
    int layers,
    int rows,
    int cols,
    const std::function<void(
        const std::string&, const std::string&, const std::string&, const std::string&)>& print);

}  // namespace dbsp::planner
