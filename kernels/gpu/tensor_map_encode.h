// SPDX-License-Identifier: Apache-2.0
// TensorMapSpec in the driver's form. For launchers; built only where the CUDA headers are.
#pragma once

#include <cuda.h>

#include "kernels/gpu/tensor_map.h"

namespace dbsp::kernels::gpu {

/// Encodes through cuTensorMapEncodeTiled, which is looked up in the driver that is running:
/// nothing here links the driver's library.
/// errors  Error{kUnavailable} when the driver has no such function, Error{kInvalidArgument} with
///         the map's numbers when it refuses them
CUtensorMap EncodeTensorMap(const TensorMapSpec& spec);

}  // namespace dbsp::kernels::gpu
