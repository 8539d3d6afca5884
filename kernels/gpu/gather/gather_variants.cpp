// SPDX-License-Identifier: Apache-2.0
#include "kernels/gpu/gather/gather_variants.h"

#include <array>

#include "kernels/gpu/sm90/sm90_variants.h"

namespace dbsp::kernels::gpu::gather {
namespace {

template <class Kernel>
constexpr Variant RowOf() {
  Variant variant = sm90::VariantOf<Kernel>();
  variant.launch = &Launch<Kernel>;
  variant.blocks_that_fit = &BlocksThatFit<Kernel>;
  return variant;
}

#define DBSP_ROW(Kernel) RowOf<Kernel>(),
constexpr std::array kVariants{DBSP_GATHER_KERNELS(DBSP_ROW)};
#undef DBSP_ROW

}  // namespace

std::span<const Variant> Variants() { return kVariants; }

}  // namespace dbsp::kernels::gpu::gather
