// SPDX-License-Identifier: Apache-2.0
#include "kernels/gpu/sm90/kernel.h"
#include "kernels/gpu/sm90/variants.h"
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
  return {Row<Block128x128D128>(),
          Row<Block128x64D128>(),
          Row<Block64x128D128>(),
          Row<Block64x64D128>(),
          Row<Block128x176D128>(),
          Row<Block128x128D64>(),
          Row<Block128x64D64>(),
          Row<Block64x128D64>(),
          Row<Block64x64D64>(),
          Row<Block192x128D64>()};
}

}  // namespace dbsp::emulated_gpu
