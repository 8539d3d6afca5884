// SPDX-License-Identifier: Apache-2.0
// Trials of an imaginary device whose true costs are known.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "db/database.h"

namespace dbsp::tuner {

/// True costs of the imaginary device, nanoseconds.
struct TrueCosts {
  double per_head = 20000;
  double per_row = 3000;
  double per_block = 450;
  double copy_latency = 500;
  double copy_gb_per_s = 8;
  double exchange_latency = 5000;
  double exchange_gb_per_s = 2;
  double merge_per_row = 40;

  [[nodiscard]] double Attention(double heads, double rows, double blocks) const {
    return per_head * heads + per_row * rows + per_block * blocks;
  }
  [[nodiscard]] double Copy(double bytes) const { return copy_latency + bytes / copy_gb_per_s; }
  [[nodiscard]] double Exchange(double bytes) const {
    return exchange_latency + bytes / exchange_gb_per_s;
  }
};

/// Builds trials with `noise` (relative, log-normal between trials; a third of it inside one).
class SyntheticTrials {
 public:
  explicit SyntheticTrials(double noise = 0.0, unsigned seed = 1) : noise_(noise), random_(seed) {
    environment.id = 1;
    environment.provenance.device_kind = "cpu";
    environment.provenance.device_name = "Imaginary CPU";
  }

  void Add(TrialConfig config, double ns) {
    std::normal_distribution<double> normal;
    const double level = ns * std::exp(noise_ * normal(random_));
    Trial trial;
    trial.suite = "full";
    trial.config = std::move(config);
    for (int i = 0; i < 9; ++i) {
      trial.samples_ns.push_back(
          static_cast<std::int64_t>(level * std::exp(noise_ / 3 * normal(random_)) + 0.5));
    }
    Add(std::move(trial));
  }

  void Add(Trial trial) {
    trials.push_back({static_cast<std::int64_t>(trials.size()) + 1, environment.id, trial});
  }

  void AddAttention(
      int heads, int q_blocks, int rows, std::int64_t blocks, std::uint64_t seed = 0) {
    AttentionConfig config;
    config.kernel = kernel;
    config.heads = heads;
    config.head_dim = head_dim;
    config.block = block;
    config.q_blocks = q_blocks;
    config.k_blocks = q_blocks;
    config.pattern = "uniform";
    config.seed = seed;
    config.active_rows = rows;
    config.active_blocks = blocks;
    Add(config, truth.Attention(heads, rows, static_cast<double>(blocks)));
  }

  /// Attention over heads, rows and densities; copies, merges and exchanges over sizes.
  void AddAll(const std::vector<int>& rank_counts) {
    for (const int heads : {1, 2, 4}) {
      for (const int side : {4, 12, 32}) {
        for (const double density : {0.1, 0.3, 1.0}) {
          const auto blocks =
              static_cast<std::int64_t>(heads * side * std::max(1.0, side * density));
          AddAttention(heads, side, heads * side, blocks);
        }
      }
    }
    for (std::int64_t size = 1024; size <= (1 << 24); size *= 4) {
      Add(LocalConfig{"pack", size, head_dim, block}, truth.Copy(static_cast<double>(size)));
      Add(LocalConfig{"merge", size / 64, head_dim, block},
          truth.merge_per_row * static_cast<double>(size) / 64);
      for (const int ranks : rank_counts) {
        for (const char* op : {"alltoall", "hop"}) {
          Add(ExchangeConfig{op, "threads", ranks, size, 1.0},
              truth.Exchange(static_cast<double>(size)));
        }
      }
    }
  }

  TrueCosts truth;
  std::string kernel = "cpu.block_sparse";
  int head_dim = 64;
  BlockSize block{64, 64};
  db::StoredEnvironment environment;
  std::vector<db::StoredTrial> trials;

 private:
  double noise_;
  std::mt19937 random_;
};

}  // namespace dbsp::tuner
