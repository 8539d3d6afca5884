// SPDX-License-Identifier: Apache-2.0
// Comparison of the work that ranks executed with the volumes of the cell.
#pragma once

#include <span>
#include <string>

#include "replay/cpu_rank.h"
#include "replay/rank.h"

namespace dbsp::replay {

/// The first difference between the executed work and the cell's LayerVolumes: bytes of every round
/// and hop, blocks computed, rows merged. The text names rank, quantity, expected and executed
/// value; "" when there is no difference.
[[nodiscard]] std::string WorkProblem(const Cell& cell, std::span<const Rank* const> ranks);
[[nodiscard]] std::string WorkProblem(const Cell& cell, std::span<const CpuRank> ranks);

}  // namespace dbsp::replay
