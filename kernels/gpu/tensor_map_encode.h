// SPDX-License-Identifier: Apache-2.0
// Conversion of a TensorMapSpec to the driver's format, for launchers. Built only with the CUDA
// headers.
#pragma once

#include <cuda.h>

#include "kernels/gpu/tensor_map.h"

namespace dbsp::kernels::gpu {

/// Encodes the map with cuTensorMapEncodeTiled. The function is looked up in the running driver, so
/// that the driver library is not linked.
/// errors  Error{kUnavailable} when the driver does not have the function; Error{kInvalidArgument}
///         with the numbers of the map when the driver rejects them
CUtensorMap EncodeTensorMap(const TensorMapSpec& spec);

}  // namespace dbsp::kernels::gpu
