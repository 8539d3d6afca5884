// SPDX-License-Identifier: Apache-2.0
// Lists of single keys on the CPU, for trials: from bits, and by FG-Attn's two predictors.
#pragma once

#include <functional>

#include "core/records.h"

namespace dbsp::profiler {

/// A call of the work: the lists of all rows, or their bits. Data of a trial depend on the
/// configuration only. Predictors get the thresholds of FG-Attn's scripts: 0.5 / key tokens, and a
/// share of 0.9 of the mass.
/// errors  Error{kInvalidArgument} for an op that makes no lists, and without the size of the lists
[[nodiscard]] std::function<void()> ListWork(const LocalConfig& config);

}  // namespace dbsp::profiler
