// SPDX-License-Identifier: Apache-2.0
#include "kernels/gpu/sm80/block_sparse.h"
#include "kernels/gpu/sm80/sm80_variants.h"
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
#define DBSP_ROW(Kernel) Row<Kernel>(),
  return {DBSP_SM80_KERNELS(DBSP_ROW)};
#undef DBSP_ROW
}

}  // namespace dbsp::emulated_gpu
