// SPDX-License-Identifier: Apache-2.0
#include "kernels/gpu/sm80/sm80_variants.h"

#include <array>

namespace dbsp::kernels::gpu::sm80 {
namespace {

template <class Kernel>
constexpr Variant RowOf() {
  Variant variant = VariantOf<Kernel>();
  variant.launch = &Launch<Kernel>;
  variant.blocks_that_fit = &BlocksThatFit<Kernel>;
  return variant;
}

#define DBSP_ROW(Kernel) RowOf<Kernel>(),
constexpr std::array kVariants{DBSP_SM80_KERNELS(DBSP_ROW)};
#undef DBSP_ROW

}  // namespace

std::span<const Variant> Variants() { return kVariants; }

}  // namespace dbsp::kernels::gpu::sm80
