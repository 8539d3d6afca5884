// SPDX-License-Identifier: Apache-2.0
#include "kernels/gpu/sm90/kernel.h"
#include "kernels/gpu/sm90/sm90_variants.h"
#include "tests/emulated_gpu/run_attention.h"

namespace dbsp::emulated_gpu {
namespace {

using namespace kernels::gpu::sm90;  // NOLINT: its kernels' names
using kernels::gpu::AttentionCall;
using kernels::gpu::Variant;
namespace isa = kernels::gpu::isa;

template <class Kernel>
EmulatedKernel Row() {
  return {
      Kernel::kName,
      1,
      [](const Variant& variant,
         const AttentionCall& call,
         int grid,
         const isa::RunOptions& options) {
        const MapSpecs specs = MapSpecsOf(variant, call);
        const Arguments args{
            WorkOf(variant, call), MapOf(specs.q), MapOf(specs.k), MapOf(specs.v), MapOf(specs.o)};
        return isa::RunGrid(grid, variant.threads, variant.shared_bytes, options, [&] {
          RunBlock<Kernel::kTile>(args);
        });
      }};
}

}  // namespace

std::vector<EmulatedKernel> Sm90Kernels() {
#define DBSP_ROW(Kernel) Row<Kernel>(),
  return {DBSP_SM90_KERNELS(DBSP_ROW)};
#undef DBSP_ROW
}

}  // namespace dbsp::emulated_gpu
