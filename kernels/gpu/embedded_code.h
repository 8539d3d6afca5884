// SPDX-License-Identifier: Apache-2.0
// The GPUs on which the device code of a build runs, by CUDA's rules of binary compatibility and
// of just-in-time compilation.
#pragma once

#include <string_view>

namespace dbsp::kernels::gpu {

/// True when code built for `architectures` runs on compute capability `arch` (10 * major + minor).
/// architectures  CMake's CUDA_ARCHITECTURES, separated by commas. NN-real is machine code for
///                the same major number from NN on. NN-virtual is PTX, which the driver compiles
///                for NN and everything later. NN is both. With the suffix `a` both run on NN only,
///                with `f` on the same major number from NN on. Other words run nowhere
/// source         CUDA C++ Programming Guide, "Application compatibility"
[[nodiscard]] bool CodeRunsOn(std::string_view architectures, int arch);

/// The architectures of this build's portable kernels; in a build without nvcc those of the
/// default build, so that plans are the same.
[[nodiscard]] std::string_view PortableArchitectures();

}  // namespace dbsp::kernels::gpu
