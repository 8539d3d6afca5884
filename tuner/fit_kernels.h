// SPDX-License-Identifier: Apache-2.0
// Attention costs of every measured kernel; a part of cost_model.h.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tuner/cost_model.h"
#include "tuner/trial_selection.h"

namespace dbsp::tuner {

/// Half width added where a number is carried over from another block size, or a merge from another
/// head_dim. A block size changes the kernel's reuse of K/V: MagiAttention's token gather runs at
/// 0.8 of its 128-blocks (notes on published rates), so half is wide on purpose.
inline constexpr double kScaledHalf = 0.5;

/// By kernel, of the workload's head_dim and blocks; where nothing was measured of those and
/// request.allow_scaled, scaled from each kernel's nearest blocks. Trials on blocks that a kernel
/// does not take, as far as the database knows it, are left out.
/// remarks  gets a sentence for whatever is scaled or left out
/// errors   Error{kNotFound} when no kernel is left, with what there is and how to measure
[[nodiscard]] std::map<std::string, AttentionFit> FitKernels(const TrialSelection& selection,
                                                             const FitRequest& request,
                                                             DType dtype,
                                                             std::vector<std::string>& remarks);

}  // namespace dbsp::tuner
