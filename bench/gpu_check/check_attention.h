// SPDX-License-Identifier: Apache-2.0
// The cases that kernels are checked on: shapes with ragged tails, rows without keys, strides.
#pragma once

#include <cstdint>

#include "bench/gpu_check/device_case.h"
#include "bench/gpu_check/lists.h"

namespace dbsp::gpu_check {

struct CheckCase {
  kernels::gpu::AttentionShape shape;
  Layout layout = Layout::kHeadsFirst;
  double density = 1.0;  ///< of list entries; 0 = no row has a key
  int run = 1;  ///< entries that are listed together
  std::uint64_t seed = 0;
};

/// Case number `index` of a variant: the first ones are its corners (everything listed, nothing
/// listed, one token, whole blocks), the others are drawn.
/// small  shapes of a few hundred tokens instead of up to some thousand
[[nodiscard]] CheckCase CaseOf(const kernels::gpu::Variant& variant,
                               int index,
                               std::uint64_t seed,
                               bool small);
[[nodiscard]] Lists ListsOf(const CheckCase& one, const kernels::gpu::Variant& variant);

}  // namespace dbsp::gpu_check
