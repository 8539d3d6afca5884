// SPDX-License-Identifier: Apache-2.0
// One attention configuration in host memory, for trials on the CPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/records.h"
#include "kernels/attention.h"
#include "kernels/plugin.h"
#include "profiler/suites/pattern.h"

namespace dbsp::profiler {

/// Number of sets of buffers of `bytes` that calls use in turn: up to 8 sets or 64 MiB, which is
/// more than the caches of a core. Small sets stay in the cache, as data that was just packed or
/// received does in a replay.
[[nodiscard]] std::size_t CopiesFor(std::size_t bytes);

/// Values in the range of normalised activations, a function of `seed`.
[[nodiscard]] std::vector<float> Values(std::size_t count, std::uint64_t seed);

/// threads  one
class CpuAttention {
 public:
  /// Fills the outputs with NaN, so that Problem() finds values that the kernel does not write, and
  /// prepares the call of a plugin's kernel.
  /// errors  Error{kInvalidArgument} for an unknown kernel and as MakeLists; those of PluginCall
  explicit CpuAttention(const AttentionConfig& config);
  /// Computes all heads, one after the other or in one launch of a plugin, on the next set of
  /// buffers.
  void Run();

  /// Checks the outputs of the first call, and returns what is wrong. One row of up to 64 tiles
  /// must be finite, and zero for a row without keys; three rows are compared with fp64.
  [[nodiscard]] std::optional<std::string> Problem() const;
  /// Time that a plugin needed to prepare the call; nothing for dbsp's own kernels.
  [[nodiscard]] std::optional<std::int64_t> prepare_ns() const;

 private:
  [[nodiscard]] kernels::AttentionArgs ArgsOf(std::size_t head, std::size_t set) const;
  /// Squared error and squared norm of a row against fp64, and the error of its log-sum-exp.
  struct RowError {
    double squares = 0;
    double norm = 0;
    double lse = 0;
  };
  [[nodiscard]] RowError ErrorOf(std::size_t tile, std::size_t row) const;
  struct Buffers {
    std::vector<float> q, k, v, o, lse;
  };

  AttentionConfig config_;
  const kernels::AttentionVariant* variant_;
  BlockLists lists_;
  std::vector<Buffers> buffers_;
  std::vector<int> q_tokens_, k_tokens_;
  std::vector<std::int64_t> begins_;  ///< per head, offsets into the head's part of the list
  std::unique_ptr<const kernels::PluginCall> prepared_;  ///< of a plugin's kernel
  std::size_t calls_ = 0;
};

}  // namespace dbsp::profiler
