// SPDX-License-Identifier: Apache-2.0
// One attention configuration in host memory, for trials on the CPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/records.h"
#include "kernels/attention.h"
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
  /// errors  Error{kInvalidArgument} for an unknown kernel, Error{kInvalidArgument} as MakeLists
  explicit CpuAttention(const AttentionConfig& config);
  /// Computes all heads, one after the other, on the next set of buffers.
  void Run();

 private:
  struct Buffers {
    std::vector<float> q, k, v, o, lse;
  };

  AttentionConfig config_;
  const kernels::AttentionVariant* variant_;
  BlockLists lists_;
  std::vector<Buffers> buffers_;
  std::vector<int> q_tokens_, k_tokens_;
  std::vector<std::int64_t> begins_;  ///< per head, offsets into the head's part of the list
  std::size_t calls_ = 0;
};

}  // namespace dbsp::profiler
