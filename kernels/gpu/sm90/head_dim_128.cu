// SPDX-License-Identifier: Apache-2.0
#include "kernels/gpu/sm90/launch.cuh"

namespace dbsp::kernels::gpu::sm90 {

DBSP_SM90_KERNELS_D128(DBSP_INSTANTIATE_LAUNCH)

}  // namespace dbsp::kernels::gpu::sm90
