// SPDX-License-Identifier: Apache-2.0
// The kernels that a device runs, as records: what suites are made from and what the database
// keeps. Pure.
#pragma once

#include <vector>

#include "core/records.h"
#include "kernels/attention.h"
#include "kernels/gpu/attention.h"

namespace dbsp::profiler {

[[nodiscard]] KernelVariant RecordOf(const kernels::AttentionVariant& variant);
[[nodiscard]] KernelVariant RecordOf(const kernels::gpu::Variant& variant);

/// The CPU's default kernel, which suites measure.
[[nodiscard]] std::vector<KernelVariant> CpuKernels();
/// Kernels of the variant table that compute capability `arch` (90 = 9.0) runs, in the table's
/// order: a device's own before the portable ones.
[[nodiscard]] std::vector<KernelVariant> GpuKernels(int arch);

}  // namespace dbsp::profiler
