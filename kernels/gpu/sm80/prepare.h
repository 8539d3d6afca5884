// SPDX-License-Identifier: Apache-2.0
// The host's part of a launch that nvcc's front end cannot parse: checks with formatted words.
#pragma once

#include "kernels/gpu/attention.h"

namespace dbsp::kernels::gpu::sm80 {

/// SMs the launch may fill.
/// errors  what CheckCall and CheckArch throw, for the current device; Error{kUnavailable} in the
///         runtime's words when there is none
int Prepare(const Variant& variant, const AttentionCall& call);

}  // namespace dbsp::kernels::gpu::sm80
