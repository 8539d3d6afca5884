// SPDX-License-Identifier: Apache-2.0
#include "kernels/gpu/sm90/variants.h"

#include <array>

namespace dbsp::kernels::gpu::sm90 {
namespace {

template <class Kernel>
constexpr Variant RowOf() {
  Variant variant = VariantOf<Kernel>();
  variant.launch = &Launch<Kernel>;
  return variant;
}

constexpr std::array kVariants{RowOf<Block128x128D128>(),
                               RowOf<Block128x64D128>(),
                               RowOf<Block64x128D128>(),
                               RowOf<Block64x64D128>(),
                               RowOf<Block128x176D128>(),
                               RowOf<Block128x128D64>(),
                               RowOf<Block128x64D64>(),
                               RowOf<Block64x128D64>(),
                               RowOf<Block64x64D64>(),
                               RowOf<Block192x128D64>()};

}  // namespace

std::span<const Variant> Variants() { return kVariants; }

}  // namespace dbsp::kernels::gpu::sm90
