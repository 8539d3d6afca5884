// SPDX-License-Identifier: Apache-2.0
#include "kernels/gpu/sm90/launch.cuh"

namespace dbsp::kernels::gpu::sm90 {

template void Launch<Block128x128D64>(const AttentionCall& call);
template void Launch<Block128x64D64>(const AttentionCall& call);
template void Launch<Block64x128D64>(const AttentionCall& call);
template void Launch<Block64x64D64>(const AttentionCall& call);
template void Launch<Block192x128D64>(const AttentionCall& call);

}  // namespace dbsp::kernels::gpu::sm90
