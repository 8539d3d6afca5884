// SPDX-License-Identifier: Apache-2.0
// Host code of a launch that nvcc cannot parse, because it formats messages.
#pragma once

#include "kernels/gpu/attention.h"

namespace dbsp::kernels::gpu::sm80 {

/// Checks the call and returns the number of SMs that the launch may use.
/// errors  those of CheckCall and CheckArch for the current device; Error{kUnavailable} with the
/// CUDA
///         runtime's text when there is no device
int Prepare(const Variant& variant, const AttentionCall& call);

}  // namespace dbsp::kernels::gpu::sm80
