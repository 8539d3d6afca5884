// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention.h"

#include <utility>
#include <vector>

#include "core/error.h"
#include "core/suggest.h"

namespace dbsp::kernels {

namespace {

std::vector<AttentionVariant>& Table() {
  static std::vector<AttentionVariant> table{
      // NOLINT: process-wide, see AddCpuAttention
      {.name = "cpu.block_sparse", .run = &AttentionBlockSparse},
      {.name = "cpu.gather", .run = &AttentionGather, .list = ListForm::kKeys},
      {.name = "cpu.reference", .run = &AttentionReference, .list = ListForm::kBoth}};
  return table;
}

/// Why a plugin's kernel, NAME@VERSION#HASH, is not in the table.
[[noreturn]] void FailNotLoaded(const std::string& id) {
  const std::string name = id.substr(0, id.find('#') + 1);
  for (const AttentionVariant& variant : Table()) {
    if (!variant.name.starts_with(name)) continue;
    Fail(
        ErrorCode::kNotFound,
        "kernel {}: the file of --kernels has changed and its kernel is {} now; give the file that "
        "was measured, or measure and plan again",
        id,
        variant.name);
  }
  Fail(ErrorCode::kNotFound,
       "kernel {} belongs to a plugin that is not loaded; give its file with --kernels",
       id);
}

}  // namespace

std::span<const AttentionVariant> CpuAttentionVariants() { return Table(); }

void AddCpuAttention(AttentionVariant variant) { Table().push_back(std::move(variant)); }

const AttentionVariant& FindCpuAttention(const std::string& name) {
  const auto variants = CpuAttentionVariants();
  if (name.empty()) return variants.front();
  std::vector<std::string> known;
  const AttentionVariant* begins = nullptr;
  for (const AttentionVariant& variant : variants) {
    if (variant.name == name) return variant;
    const bool longer =
        variant.name.starts_with(name + "@") || variant.name.starts_with(name + "#");
    if (variant.plugin != nullptr && longer && begins == nullptr) begins = &variant;
    known.push_back(variant.name);
  }
  if (begins != nullptr) return *begins;
  if (name.find('#') != std::string::npos) FailNotLoaded(name);
  throw Error(ErrorCode::kInvalidArgument, UnknownName("kernel", name, known));
}

}  // namespace dbsp::kernels
