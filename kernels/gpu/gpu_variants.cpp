// SPDX-License-Identifier: Apache-2.0
#include "kernels/gpu/gpu_variants.h"

#include <string>
#include <vector>

#include "core/error.h"
#include "kernels/gpu/gather/gather_variants.h"
#include "kernels/gpu/sm80/sm80_variants.h"
#include "kernels/gpu/sm90/sm90_variants.h"

namespace dbsp::kernels::gpu {

std::span<const Variant> Variants() {
  static const std::vector<Variant> all = [] {
    std::vector<Variant> gathered;
    for (const std::span<const Variant> family :
         {sm90::Variants(), gather::Variants(), sm80::Variants()}) {
      gathered.insert(gathered.end(), family.begin(), family.end());
    }
    return gathered;
  }();
  return all;
}

const Variant& VariantNamed(std::string_view name) {
  std::string names;
  for (const Variant& variant : Variants()) {
    if (variant.name == name) return variant;
    names += names.empty() ? "" : ", ";
    names += variant.name;
  }
  Fail(ErrorCode::kNotFound, "no GPU kernel is called '{}'; known: {}", name, names);
}

void LaunchUnavailable(const AttentionCall&) {
  Fail(ErrorCode::kUnavailable,
       "this build has no GPU kernels; build with DBSP_ENABLE_CUDA=ON on a machine with nvcc");
}

}  // namespace dbsp::kernels::gpu
