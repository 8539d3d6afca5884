// SPDX-License-Identifier: Apache-2.0
#include "kernels/gpu/gather/variants.h"

#include <array>

#include "kernels/gpu/sm90/variants.h"

namespace dbsp::kernels::gpu::gather {
namespace {

template <class Kernel>
constexpr Variant RowOf() {
  Variant variant = sm90::VariantOf<Kernel>();
  variant.launch = &Launch<Kernel>;
  return variant;
}

constexpr std::array kVariants{
    RowOf<Keys128D128>(), RowOf<Keys64D128>(), RowOf<Keys128D64>(), RowOf<Keys64D64>()};

}  // namespace

std::span<const Variant> Variants() { return kVariants; }

}  // namespace dbsp::kernels::gpu::gather
