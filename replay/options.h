// SPDX-License-Identifier: Apache-2.0
// Values of dbsp-replay's flags: transports, graph modes and the selection of cells.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/plan.h"
#include "replay/runner.h"
#include "runtime/device.h"

namespace dbsp::replay {

[[nodiscard]] const char* NameOf(TransportKind transport);
/// errors  Error{kInvalidArgument} for an unknown name, with the nearest known one
[[nodiscard]] TransportKind ParseTransport(std::string_view name);
/// errors  Error{kUnavailable} "--transport nccl: unavailable: ..." when the transport cannot run
///         on the device
void RequireTransport(TransportKind transport, const runtime::DeviceSpec& device = {});

[[nodiscard]] const char* NameOf(GraphMode mode);
/// errors  Error{kInvalidArgument} for an unknown name, with the nearest known one
[[nodiscard]] GraphMode ParseGraphMode(std::string_view name);

/// The cells of a plan that a replay runs.
struct CellSelection {
  enum class Kind : std::uint8_t { kAll, kDistinct, kFirst, kOne };
  Kind kind = Kind::kDistinct;
  int first = 0;  ///< kFirst: number of cells, in plan order
  int step = 0;  ///< kOne
  int layer = 0;  ///< kOne
};
/// Parses "all", "distinct", "first:N" (N >= 1) or "STEP,LAYER".
/// errors  Error{kInvalidArgument}
[[nodiscard]] CellSelection ParseCells(const std::string& text);

struct SelectedCell {
  std::size_t cell = 0;  ///< index into Plan::cells
  std::int64_t multiplicity = 1;  ///< number of cells of the plan that this cell represents
};
/// The selected cells in plan order. With kDistinct, the first cell of every pair of strategy and
/// prediction represents all cells of that pair: cells share a prediction exactly when their masks
/// and strategies are equal.
/// errors  Error{kInvalidArgument} when the selection is empty
[[nodiscard]] std::vector<SelectedCell> SelectCells(const Plan& plan,
                                                    const CellSelection& selection);

}  // namespace dbsp::replay
