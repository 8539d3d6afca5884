// SPDX-License-Identifier: Apache-2.0
// The cases that check the attention kernels: shapes with partial blocks, rows without keys and
// strided memory layouts.
#pragma once

#include <cstdint>

#include "bench/gpu_check/device_case.h"
#include "bench/gpu_check/lists.h"
#include "bench/gpu_check/scores.h"

namespace dbsp::gpu_check {

struct CheckCase {
  kernels::gpu::AttentionShape shape;
  Layout layout = Layout::kHeadsFirst;
  double density = 1.0;  ///< probability that an entry is listed; 0 = no row has a key
  int run = 1;  ///< number of neighbouring entries that are listed or left out together
  std::uint64_t seed = 0;
  Scores scores = Scores::kNormal;
};

/// Case number `index` of a variant. The first cases are corners: everything listed, nothing
/// listed, one token, whole blocks, one more than whole blocks, growing scores, one-hot rows,
/// large scores. The other cases are random.
/// small  true = at most some hundred tokens, else up to 2000
[[nodiscard]] CheckCase CaseOf(const kernels::gpu::Variant& variant,
                               int index,
                               std::uint64_t seed,
                               bool small);
[[nodiscard]] Lists ListsOf(const CheckCase& check_case, const kernels::gpu::Variant& variant);

}  // namespace dbsp::gpu_check
