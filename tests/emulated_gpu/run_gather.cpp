// SPDX-License-Identifier: Apache-2.0
#include "kernels/gpu/gather/kernel.h"
#include "kernels/gpu/sm90/sm90_variants.h"
#include "tests/emulated_gpu/run_attention.h"

namespace dbsp::emulated_gpu {
namespace {

using namespace kernels::gpu::gather;  // NOLINT: its kernels' names
using kernels::gpu::AttentionCall;
using kernels::gpu::Variant;
namespace isa = kernels::gpu::isa;

template <class Kernel>
EmulatedKernel Row() {
  return {Kernel::kName,
          Kernel::kTile.blocks_per_sm,
          [](const Variant& variant,
             const AttentionCall& call,
             int grid,
             const isa::RunOptions& options) {
            const auto specs = kernels::gpu::sm90::MapSpecsOf(variant, call);
            Arguments args;
            args.work = kernels::gpu::sm90::WorkOf(variant, call);
            args.q = MapOf(specs.q);
            args.k = MapOf(specs.k);
            args.v = MapOf(specs.v);
            args.o = MapOf(specs.o);
            args.k_rows = call.k;
            args.v_rows = call.v;
            return isa::RunGrid(grid, variant.threads, variant.shared_bytes, options, [&] {
              RunBlock<Kernel::kTile>(args);
            });
          }};
}

}  // namespace

std::vector<EmulatedKernel> GatherKernels() {
#define DBSP_ROW(Kernel) Row<Kernel>(),
  return {DBSP_GATHER_KERNELS(DBSP_ROW)};
#undef DBSP_ROW
}

}  // namespace dbsp::emulated_gpu
