// SPDX-License-Identifier: Apache-2.0
// Attention launches of a build without CUDA. They throw Error{kUnavailable}.
#include "kernels/gpu/gather/gather_variants.h"
#include "kernels/gpu/gather/tiles.h"
#include "kernels/gpu/gpu_variants.h"
#include "kernels/gpu/sm80/sm80_variants.h"
#include "kernels/gpu/sm90/sm90_variants.h"

namespace dbsp::kernels::gpu::sm80 {
template <class Kernel>
void Launch(const AttentionCall& call) {
  LaunchUnavailable(call);
}
template <class Kernel>
int BlocksThatFit() {
  LaunchUnavailable({});
}
DBSP_SM80_KERNELS(DBSP_INSTANTIATE_LAUNCH)
}  // namespace dbsp::kernels::gpu::sm80

namespace dbsp::kernels::gpu::sm90 {
template <class Kernel>
void Launch(const AttentionCall& call) {
  LaunchUnavailable(call);
}
template <class Kernel>
int BlocksThatFit() {
  LaunchUnavailable({});
}
DBSP_SM90_KERNELS(DBSP_INSTANTIATE_LAUNCH)
}  // namespace dbsp::kernels::gpu::sm90

namespace dbsp::kernels::gpu::gather {
template <class Kernel>
void Launch(const AttentionCall& call) {
  LaunchUnavailable(call);
}
template <class Kernel>
int BlocksThatFit() {
  LaunchUnavailable({});
}
DBSP_GATHER_KERNELS(DBSP_INSTANTIATE_LAUNCH)
}  // namespace dbsp::kernels::gpu::gather
