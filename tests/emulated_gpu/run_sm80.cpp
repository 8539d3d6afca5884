// SPDX-License-Identifier: Apache-2.0
#include "kernels/gpu/sm80/block_sparse.h"
#include "kernels/gpu/sm80/variants.h"
#include "tests/emulated_gpu/run_attention.h"

namespace dbsp::emulated_gpu {
namespace {

using namespace kernels::gpu::sm80;  // NOLINT: its kernels' names
using kernels::gpu::AttentionCall;
using kernels::gpu::Variant;
namespace isa = kernels::gpu::isa;

template <class Kernel>
EmulatedKernel Row() {
  return {Kernel::kName,
          1,
          [](const Variant& variant,
             const AttentionCall& call,
             int grid,
             const isa::RunOptions& options) {
            const Arguments args = ArgumentsOf(variant, call);
            return isa::RunGrid(grid, variant.threads, variant.shared_bytes, options, [&] {
              BlockSparse<Kernel>(args);
            });
          }};
}

}  // namespace

std::vector<EmulatedKernel> Sm80Kernels() {
  return {Row<Block128x128D128>(),
          Row<Block128x64D128>(),
          Row<Block64x128D128>(),
          Row<Block64x64D128>(),
          Row<Block128x128D64>(),
          Row<Block128x64D64>(),
          Row<Block64x128D64>(),
          Row<Block64x64D64>()};
}

}  // namespace dbsp::emulated_gpu
