// SPDX-License-Identifier: Apache-2.0
#include "kernels/gpu/sm80/launch.cuh"

namespace dbsp::kernels::gpu::sm80 {

DBSP_SM80_KERNELS_D128(DBSP_INSTANTIATE_LAUNCH)

}  // namespace dbsp::kernels::gpu::sm80
