// SPDX-License-Identifier: Apache-2.0
// Choice of the attention kernel that a replay runs, from the plan and the --kernel flag.
#pragma once

#include <optional>
#include <string>

#include "core/shape.h"
#include "kernels/gpu/attention.h"

namespace dbsp::replay {

/// The GPU kernel for a layer: `wanted` (--kernel) where it is given, else the planned one. A plan
/// that names a CPU kernel or none was not made for this device; it gets the first kernel of the
/// table that supports its blocks on this device. A plan that names a GPU kernel predicts that
/// kernel's time, so the tool never substitutes another kernel silently.
/// arch    compute capability, 90 for 9.0
/// errors  Error{kUnavailable} when the kernel does not support these blocks on this device; the
///         message lists the kernels that do. Error{kNotFound} for an unknown name
[[nodiscard]] const kernels::gpu::Variant& ChooseGpuKernel(const std::string& planned,
                                                           const std::optional<std::string>& wanted,
                                                           const BlockSize& block,
                                                           int head_dim,
                                                           int arch);

/// The CPU kernel for a layer: `wanted` where it is given, else the planned one. Where the plan
/// names a GPU kernel, the result is "", the default CPU kernel: a CPU replay can verify the
/// outputs of such a plan, but not its times.
[[nodiscard]] std::string ChooseCpuKernel(const std::string& planned,
                                          const std::optional<std::string>& wanted);

}  // namespace dbsp::replay
