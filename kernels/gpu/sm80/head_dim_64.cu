// SPDX-License-Identifier: Apache-2.0
#include "kernels/gpu/sm80/launch.cuh"

namespace dbsp::kernels::gpu::sm80 {

template void Launch<Block128x128D64>(const AttentionCall& call);
template void Launch<Block128x64D64>(const AttentionCall& call);
template void Launch<Block64x128D64>(const AttentionCall& call);
template void Launch<Block64x64D64>(const AttentionCall& call);

}  // namespace dbsp::kernels::gpu::sm80
