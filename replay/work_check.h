// SPDX-License-Identifier: Apache-2.0
// Comparison of the work that ranks executed with the volumes of the cell.
#pragma once

#include <span>

#include "core/status.h"
#include "replay/cpu_rank.h"
#include "replay/rank.h"

namespace dbsp::replay {

/// Ok if the executed work is that of the cell's LayerVolumes: bytes of every round and hop, blocks
/// computed, rows merged. Otherwise the message names rank, quantity, expected and executed value
/// of the first difference.
[[nodiscard]] Status CheckWork(const Cell& cell, std::span<const Rank* const> ranks);
[[nodiscard]] Status CheckWork(const Cell& cell, std::span<const CpuRank> ranks);

}  // namespace dbsp::replay
