// SPDX-License-Identifier: Apache-2.0
// Which kernel a replay runs for a kernel that a plan names.
#pragma once

#include <string>

#include "core/shape.h"
#include "kernels/gpu/attention.h"

namespace dbsp::replay {

/// The GPU kernel for a layer: `wanted` (--kernel) where it is given, else the planned one. A plan
/// that names a CPU kernel or none was made without this device in view: it gets the first kernel
/// of the table that takes its blocks on this device. A plan that names a GPU kernel predicts that
/// kernel's time, so another one never steps in unasked.
/// arch    compute capability, 90 for 9.0
/// errors  Error{kUnavailable} when the kernel does not take these blocks on this device, in one
///         line with those that do; Error{kNotFound} for an unknown name
[[nodiscard]] const kernels::gpu::Variant& ChooseGpuKernel(const std::string& planned,
                                                           const std::string& wanted,
                                                           const BlockSize& block,
                                                           int head_dim,
                                                           int arch);

/// The CPU kernel for a layer: `wanted`, else the planned one, else, where the plan names a GPU
/// kernel, the default one (""): a CPU replay checks such a plan, it cannot confirm its times.
[[nodiscard]] std::string ChooseCpuKernel(const std::string& planned, const std::string& wanted);

}  // namespace dbsp::replay
