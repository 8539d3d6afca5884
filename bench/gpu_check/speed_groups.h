// SPDX-License-Identifier: Apache-2.0
// What is timed: groups of launches over one shape, each beside dense attention of that shape.
// Data only; speed.cpp times them and serve.cpp hands their masks to PyTorch's kernels.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "bench/gpu_check/lists.h"
#include "kernels/gpu/attention.h"

namespace dbsp::gpu_check {

/// Which kernels an item runs on: all of the table that fit.
struct KernelChoice {
  kernels::gpu::ListKind list = kernels::gpu::ListKind::kBlocks;
  int q_block = 0;  ///< 0 = any
  int k_block = 0;
  int min_arch = 0;
};

struct SpeedItem {
  std::string mask;  ///< "dense", "random 0.30", "radial", "sta", "keys 0.30", "runs of 8, 0.30"
  KernelChoice kernels;
  std::function<Lists(const Blocks& blocks, int heads)> make;
  bool same_for_heads = false;
  /// Ratio to the group's fastest dense item that the item is expected to reach per kept pair; 0 =
  /// no expectation. Where it comes from: docs/gpu.md, What is checked.
  double of_dense = 0.0;
  double tflops = 0.0;  ///< expected; 0 = none
};

struct SpeedGroup {
  std::string name;
  kernels::gpu::AttentionShape shape;
  int budget_s = 10;
  std::vector<SpeedItem> items;
};

/// The table of the speed part, most valuable first.
/// smoke  the same groups and items over a few hundred tokens and two heads
[[nodiscard]] std::vector<SpeedGroup> SpeedGroups(bool smoke = false);
/// Dense attention of some milliseconds, by the kernels made for `min_arch`.
[[nodiscard]] SpeedGroup RepeatGroup(int min_arch, bool smoke = false);
/// Densities from 1 down to 0.05 for block-sparse and gather kernels.
[[nodiscard]] std::vector<SpeedGroup> CurveGroups(bool smoke = false);

/// Of `variants`, those that `choice` and the head dimension name.
[[nodiscard]] std::vector<const kernels::gpu::Variant*> Chosen(
    const KernelChoice& choice,
    int head_dim,
    std::span<const kernels::gpu::Variant* const> variants);

}  // namespace dbsp::gpu_check
