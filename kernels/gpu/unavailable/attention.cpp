// SPDX-License-Identifier: Apache-2.0
// The attention launches of a build without CUDA.
#include "kernels/gpu/gather/tiles.h"
#include "kernels/gpu/gather/variants.h"
#include "kernels/gpu/sm80/variants.h"
#include "kernels/gpu/sm90/variants.h"
#include "kernels/gpu/variants.h"

namespace dbsp::kernels::gpu::sm80 {
template <class Kernel>
void Launch(const AttentionCall& call) {
  LaunchUnavailable(call);
}
template void Launch<Block128x128D128>(const AttentionCall& call);
template void Launch<Block128x64D128>(const AttentionCall& call);
template void Launch<Block64x128D128>(const AttentionCall& call);
template void Launch<Block64x64D128>(const AttentionCall& call);
template void Launch<Block128x128D64>(const AttentionCall& call);
template void Launch<Block128x64D64>(const AttentionCall& call);
template void Launch<Block64x128D64>(const AttentionCall& call);
template void Launch<Block64x64D64>(const AttentionCall& call);
}  // namespace dbsp::kernels::gpu::sm80

namespace dbsp::kernels::gpu::sm90 {
template <class Kernel>
void Launch(const AttentionCall& call) {
  LaunchUnavailable(call);
}
template void Launch<Block128x128D128>(const AttentionCall& call);
template void Launch<Block128x64D128>(const AttentionCall& call);
template void Launch<Block64x128D128>(const AttentionCall& call);
template void Launch<Block64x64D128>(const AttentionCall& call);
template void Launch<Block128x176D128>(const AttentionCall& call);
template void Launch<Block128x128D64>(const AttentionCall& call);
template void Launch<Block128x64D64>(const AttentionCall& call);
template void Launch<Block64x128D64>(const AttentionCall& call);
template void Launch<Block64x64D64>(const AttentionCall& call);
template void Launch<Block192x128D64>(const AttentionCall& call);
}  // namespace dbsp::kernels::gpu::sm90

namespace dbsp::kernels::gpu::gather {
template <class Kernel>
void Launch(const AttentionCall& call) {
  LaunchUnavailable(call);
}
template void Launch<Keys128D128>(const AttentionCall& call);
template void Launch<Keys64D128>(const AttentionCall& call);
template void Launch<Keys128D64>(const AttentionCall& call);
template void Launch<Keys64D64>(const AttentionCall& call);
}  // namespace dbsp::kernels::gpu::gather
