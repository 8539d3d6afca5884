// SPDX-License-Identifier: Apache-2.0
// How much of an attention trial's output is checked, on the CPU and on GPUs.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dbsp::profiler {

/// Rows that are read: one of each of so many query blocks.
inline constexpr std::int64_t kReadRows = 64;
/// Rows of these that are compared with a reference in double precision.
inline constexpr std::size_t kReferenceRows = 3;
/// Most keys of all reference rows together: a tenth of a second on one core.
inline constexpr std::int64_t kReferenceKeys = 250'000;

}  // namespace dbsp::profiler
