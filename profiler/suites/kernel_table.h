// SPDX-License-Identifier: Apache-2.0
// The kernels that a device runs, as records for suites and for the database. Pure.
#pragma once

#include <vector>

#include "core/records.h"
#include "kernels/attention.h"
#include "kernels/gpu/attention.h"

namespace dbsp::profiler {

[[nodiscard]] KernelVariant RecordOf(const kernels::AttentionVariant& variant);
[[nodiscard]] KernelVariant RecordOf(const kernels::gpu::Variant& variant);

/// The kernels that suites measure on a CPU: the default one, the one for lists of keys, and those
/// of plugins.
[[nodiscard]] std::vector<KernelVariant> CpuKernels();
/// Kernels of the variant table that run on compute capability `arch` (90 = 9.0), in the table's
/// order: kernels for this capability first, then the portable ones.
/// errors  Error{kUnavailable} when DBSP_SKIP_KERNELS leaves none
[[nodiscard]] std::vector<KernelVariant> GpuKernels(int arch);

}  // namespace dbsp::profiler
