// SPDX-License-Identifier: Apache-2.0
#include "replay/kernel_lookup.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "kernels/attention.h"
#include "kernels/gpu/check_call.h"
#include "kernels/gpu/gpu_variants.h"

namespace dbsp::replay {
namespace {

using kernels::gpu::ListKind;
using kernels::gpu::RunsOn;
using kernels::gpu::Variant;

bool Takes(const Variant& variant, const BlockSize& block, int head_dim) {
  return variant.list == ListKind::kBlocks && variant.q_block == block.q &&
         variant.k_block == block.k && variant.head_dim == head_dim;
}

/// Names of the kernels for which `good` holds.
template <typename Good>
std::string Names(const Good& good) {
  std::string names;
  for (const Variant& variant : kernels::gpu::Variants()) {
    if (good(variant)) names += fmt::format("{}{}", names.empty() ? "" : ", ", variant.name);
  }
  return names.empty() ? "none" : names;
}

[[noreturn]] void FailNoKernel(const BlockSize& block, int head_dim, int arch) {
  const std::string skipped = kernels::gpu::SkippedKernelsNote();
  Fail(ErrorCode::kUnavailable,
       "no GPU kernel supports {}x{} blocks of head_dim {} on compute capability {}.{}; make "
       "the workload with the --block of one of the kernels for this device: {}{}",
       block.q,
       block.k,
       head_dim,
       arch / 10,
       arch % 10,
       Names([&](const Variant& v) { return v.list == ListKind::kBlocks && RunsOn(v, arch); }),
       skipped.empty() ? "" : "; " + skipped);
}

/// errors  Error{kUnavailable} when the kernel does not support these blocks on this device
const Variant& Named(const std::string& name, const BlockSize& block, int head_dim, int arch) {
  const Variant& variant = kernels::gpu::VariantNamed(name);
  if (Takes(variant, block, head_dim) && RunsOn(variant, arch)) return variant;
  Fail(ErrorCode::kUnavailable,
       "kernel {} does not support {}x{} blocks of head_dim {} on compute capability {}.{}; these "
       "kernels do: {}; choose one with --kernel",
       name,
       block.q,
       block.k,
       head_dim,
       arch / 10,
       arch % 10,
       Names([&](const Variant& v) { return Takes(v, block, head_dim) && RunsOn(v, arch); }));
}

bool IsCpuKernel(const std::string& name) {
  return name.empty() ||
         std::ranges::any_of(kernels::CpuAttentionVariants(),
                             [&](const auto& variant) { return variant.name == name; });
}

}  // namespace

const Variant& ChooseGpuKernel(const std::string& planned,
                               const std::optional<std::string>& wanted,
                               const BlockSize& block,
                               int head_dim,
                               int arch) {
  if (wanted) return Named(*wanted, block, head_dim, arch);
  if (!IsCpuKernel(planned)) return Named(planned, block, head_dim, arch);
  for (const Variant& variant : kernels::gpu::Variants()) {
    if (Takes(variant, block, head_dim) && RunsOn(variant, arch)) return variant;
  }
  FailNoKernel(block, head_dim, arch);
}

std::string ChooseCpuKernel(const std::string& planned, const std::optional<std::string>& wanted) {
  if (wanted) return *wanted;
  const bool of_gpu = std::ranges::any_of(
      kernels::gpu::AllVariants(), [&](const Variant& variant) { return planned == variant.name; });
  return of_gpu ? std::string() : planned;
}

}  // namespace dbsp::replay
