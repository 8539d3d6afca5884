// SPDX-License-Identifier: Apache-2.0
#include "profiler/suites/kernel_table.h"

#include "core/error.h"
#include "kernels/gpu/check_call.h"
#include "kernels/gpu/gpu_variants.h"
#include "kernels/plugin.h"

namespace dbsp::profiler {

KernelVariant RecordOf(const kernels::AttentionVariant& variant) {
  KernelVariant record{.name = variant.name, .deterministic = variant.deterministic};
  if (variant.list == kernels::ListForm::kBlocks) record.list = "blocks";
  if (variant.list == kernels::ListForm::kKeys) {
    record.list = "keys";
    record.k_block = 1;
    record.tile_n = kernels::kCpuStepKeys;
  }
  if (const kernels::PluginKernel* plugin = variant.plugin) {
    const auto given = [](int size) { return size == 0 ? std::nullopt : std::optional(size); };
    // dbsp expands lists of blocks for a kernel of key lists, so it takes blocks of any size, too.
    record.head_dim = given(plugin->head_dim);
    record.q_block = given(plugin->q_block);
    record.k_block = given(plugin->k_block);
  }
  return record;
}

KernelVariant RecordOf(const kernels::gpu::Variant& variant) {
  const bool keys = variant.list == kernels::gpu::ListKind::kKeys;
  return {.name = variant.name,
          .list = keys ? "keys" : "blocks",
          .arch = variant.min_arch,
          .head_dim = variant.head_dim,
          .q_block = variant.q_block,
          .k_block = variant.k_block,
          .tile_m = variant.tile_m,
          .tile_n = variant.tile_n,
          .stages = variant.stages,
          .threads = variant.threads,
          .shared_bytes = variant.shared_bytes,
          .deterministic = variant.deterministic};
}

std::vector<KernelVariant> CpuKernels() {
  std::vector<KernelVariant> found{RecordOf(kernels::FindCpuAttention(""))};
  for (const kernels::AttentionVariant& variant : kernels::CpuAttentionVariants()) {
    const bool added = variant.list == kernels::ListForm::kKeys || variant.plugin != nullptr;
    if (added) found.push_back(RecordOf(variant));
  }
  return found;
}

std::vector<KernelVariant> GpuKernels(int arch) {
  std::vector<KernelVariant> found;
  for (const kernels::gpu::Variant& variant : kernels::gpu::Variants()) {
    if (kernels::gpu::RunsOn(variant, arch)) found.push_back(RecordOf(variant));
  }
  const std::string skipped = kernels::gpu::SkippedKernelsNote();
  if (found.empty() && !skipped.empty()) {
    Fail(ErrorCode::kUnavailable,
         "no kernel is left for compute capability {}.{}; {}",
         arch / 10,
         arch % 10,
         skipped);
  }
  return found;
}

}  // namespace dbsp::profiler
