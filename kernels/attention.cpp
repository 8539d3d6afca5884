// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention.h"

#include <algorithm>
#include <array>

#include "core/error.h"
#include "core/suggest.h"

namespace dbsp::kernels {

std::span<const AttentionVariant> CpuAttentionVariants() {
  static const std::array<AttentionVariant, 3> variants{
      {{"cpu.block_sparse", true, &AttentionBlockSparse, ListForm::kBlocks},
       {"cpu.gather", true, &AttentionGather, ListForm::kKeys},
       {"cpu.reference", true, &AttentionReference, ListForm::kBoth}}};
  return variants;
}

const AttentionVariant& FindCpuAttention(const std::string& name) {
  const auto variants = CpuAttentionVariants();
  if (name.empty()) return variants.front();
  std::vector<std::string> known;
  for (const AttentionVariant& variant : variants) {
    if (variant.name == name) return variant;
    known.push_back(variant.name);
  }
  throw Error(ErrorCode::kInvalidArgument, UnknownName("kernel", name, known));
}

}  // namespace dbsp::kernels
