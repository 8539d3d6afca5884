// SPDX-License-Identifier: Apache-2.0
// The table of compiled GPU attention kernels. Every build has it, so that a machine without a GPU
// can plan with their names and shapes. In a build without CUDA their launch functions throw.
//
// A kernel family defines its rows in FAMILY/FAMILY_variants.cpp; gpu_variants.cpp lists the
// families.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/gpu/attention.h"

namespace dbsp::kernels::gpu {

/// Every variant of the build, by family.
/// owns  static storage
std::span<const Variant> AllVariants();

/// The variants that may run: AllVariants() without those that DBSP_SKIP_KERNELS names. The
/// variable is read at the first call. Everything that lists or chooses kernels uses this list.
/// owns    static storage
/// errors  as SkippedKernels()
std::span<const Variant> Variants();

/// Name of the environment variable with names of kernels, separated by commas, that never run. It
/// is for kernels that hang or that lose the device's context.
inline constexpr const char* kSkipKernelsVariable = "DBSP_SKIP_KERNELS";

/// The names in DBSP_SKIP_KERNELS, in its order; empty without the variable.
/// errors  Error{kInvalidArgument} with the nearest name for one that no variant has
std::vector<std::string> SkippedKernels();
/// One line for stderr about the kernels that are left out; "" where all run. errors  as above
std::string SkippedKernelsNote();

/// errors  Error{kNotFound} with all known names; Error{kUnavailable} for a kernel that
///         DBSP_SKIP_KERNELS leaves out
const Variant& VariantNamed(std::string_view name);

/// Launch function of every variant in a build without CUDA.
/// errors  Error{kUnavailable}, always
[[noreturn]] void LaunchUnavailable(const AttentionCall& call);

}  // namespace dbsp::kernels::gpu
