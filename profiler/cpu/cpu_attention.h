// SPDX-License-Identifier: Apache-2.0
// One attention configuration in host memory, as trials on the CPU run it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/records.h"
#include "kernels/attention.h"
#include "profiler/suites/pattern.h"

namespace dbsp::profiler {

/// How many sets of buffers of `bytes` take turns: up to 8 of them or 64 MiB, which is more than
/// the caches that a core can use. Small ones stay in the cache, as what was just packed or
/// received does.
[[nodiscard]] std::size_t CopiesFor(std::size_t bytes);

/// Values like those of normalised activations; the same seed gives the same ones.
[[nodiscard]] std::vector<float> Values(std::size_t count, std::uint64_t seed);

/// threads  one
class CpuAttention {
 public:
  /// errors  Error{kInvalidArgument} for an unknown kernel, Error{kInvalidArgument} as MakeLists
  explicit CpuAttention(const AttentionConfig& config);
  /// All heads, one after the other, on the next set of buffers.
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
  std::vector<std::int64_t> begins_;  ///< every head's offsets start at 0 of its part of the list
  std::size_t turn_ = 0;
};

}  // namespace dbsp::profiler
