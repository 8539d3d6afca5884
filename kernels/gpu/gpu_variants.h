// SPDX-License-Identifier: Apache-2.0
// The one table of compiled GPU attention kernels. Every build has it, so that a machine without a
// GPU can plan with their names and shapes; where the build has no CUDA their launch throws.
//
// A kernel family adds its array in FAMILY/variants.cpp, and one line in variants.cpp.
#pragma once

#include <span>
#include <string_view>

#include "kernels/gpu/attention.h"

namespace dbsp::kernels::gpu {

/// Every variant, by family.
/// owns  static storage
std::span<const Variant> Variants();

/// errors  Error{kNotFound} with the names there are
const Variant& VariantNamed(std::string_view name);

/// The launch of every variant in a build without CUDA.
/// errors  Error{kUnavailable}, always
[[noreturn]] void LaunchUnavailable(const AttentionCall& call);

}  // namespace dbsp::kernels::gpu
