// SPDX-License-Identifier: Apache-2.0
// The table of compiled GPU attention kernels. Every build has it, so that a machine without a GPU
// can plan with their names and shapes. In a build without CUDA their launch functions throw.
//
// A kernel family defines its rows in FAMILY/FAMILY_variants.cpp; gpu_variants.cpp lists the
// families.
#pragma once

#include <span>
#include <string_view>

#include "kernels/gpu/attention.h"

namespace dbsp::kernels::gpu {

/// Every variant, by family.
/// owns  static storage
std::span<const Variant> Variants();

/// errors  Error{kNotFound} with all known names
const Variant& VariantNamed(std::string_view name);

/// Launch function of every variant in a build without CUDA.
/// errors  Error{kUnavailable}, always
[[noreturn]] void LaunchUnavailable(const AttentionCall& call);

}  // namespace dbsp::kernels::gpu
