// SPDX-License-Identifier: Apache-2.0
// The groups of launches that are timed. A group has one shape and includes dense attention of that
// shape for comparison. speed.cpp times the groups; serve.cpp gives their masks to bench/peers.py.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "bench/gpu_check/lists.h"
#include "kernels/gpu/attention.h"

namespace dbsp::gpu_check {

/// Selects kernels by their properties. 0 = any value.
struct KernelFilter {
  kernels::gpu::ListKind list = kernels::gpu::ListKind::kBlocks;
  int q_block = 0;
  int k_block = 0;
  int min_arch = 0;
};

struct SpeedItem {
  std::string mask;  ///< "dense", "random 0.30", "radial", "sta", "keys 0.30", "runs of 8, 0.30"
  KernelFilter kernels;  ///< the item runs on every kernel that matches
  std::function<Lists(const Blocks& blocks, int heads)> make_lists;
  bool same_for_heads = false;  ///< make_lists gives every head the same lists
  /// Expected speed per listed pair divided by that of the group's fastest dense item; 0 = no
  /// expectation. docs/gpu.md, What is checked, has the sources.
  double expected_of_dense = 0.0;
  double expected_tflops = 0.0;  ///< 0 = no expectation
};

struct SpeedGroup {
  std::string name;
  kernels::gpu::AttentionShape shape;
  int budget_s = 10;  ///< seconds of measurement for all items together
  std::vector<SpeedItem> items;
};

/// The groups of the part "speed", the most important ones first.
/// smoke    the same groups and items with at most 384 tokens and one head, without expected speeds
[[nodiscard]] std::vector<SpeedGroup> SpeedGroups(bool smoke = false);
/// The group of the part "repeat": dense attention of some milliseconds by the kernels for 9.0 on
/// such a device, else by the portable ones.
[[nodiscard]] SpeedGroup RepeatGroup(int device_arch, bool smoke = false);
/// The groups of the part "curve": densities from 0.9 to 0.05 for block-sparse and gather kernels.
[[nodiscard]] std::vector<SpeedGroup> CurveGroups(bool smoke = false);

/// The `variants` that match the filter and the head dimension.
[[nodiscard]] std::vector<const kernels::gpu::Variant*> MatchingVariants(
    const KernelFilter& filter,
    int head_dim,
    std::span<const kernels::gpu::Variant* const> variants);

}  // namespace dbsp::gpu_check
