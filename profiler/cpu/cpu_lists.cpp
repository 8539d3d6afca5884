// SPDX-License-Identifier: Apache-2.0
#include "profiler/cpu/cpu_lists.h"

#include <cmath>
#include <memory>
#include <vector>

#include "core/block_mask.h"
#include "core/error.h"
#include "kernels/key_lists.h"
#include "profiler/cpu/cpu_attention.h"
#include "profiler/suites/pattern.h"

namespace dbsp::profiler {
namespace {

/// Bits with the number of keys of the configuration, at random places.
BlockMask BitsOf(const LocalConfig& c) {
  AttentionConfig drawn;
  drawn.q_blocks = static_cast<int>(c.amount);
  drawn.k_blocks = c.lists->k_tokens;
  drawn.pattern = "uniform";
  drawn.active_blocks = c.lists->keys.value_or(0);
  const BlockLists lists = MakeLists(drawn);
  BlockMask bits(drawn.q_blocks, drawn.k_blocks);
  for (int row = 0; row < drawn.q_blocks; ++row) {
    for (auto at = lists.begin[row]; at < lists.begin[row + 1]; ++at) bits.Set(row, lists.list[at]);
  }
  return bits;
}

std::function<void()> FromBits(const LocalConfig& c) {
  const auto bits = std::make_shared<const BlockMask>(BitsOf(c));
  const auto lists = std::make_shared<kernels::KeyLists>();
  return [bits, lists] {
    lists->begin.assign(1, 0);
    lists->list.clear();
    kernels::AppendKeyLists(*bits, *lists);
  };
}

std::function<void()> FromScores(const LocalConfig& c) {
  struct Tensors {
    std::vector<float> q, k;
  };
  const auto dim = static_cast<std::size_t>(c.head_dim);
  const std::size_t queries = static_cast<std::size_t>(c.amount) * c.block.q;
  const auto keys = static_cast<std::size_t>(c.lists->k_tokens);
  const auto tensors =
      std::make_shared<const Tensors>(Tensors{Values(queries * dim, 1), Values(keys * dim, 2)});
  const float scale = 1.0F / std::sqrt(static_cast<float>(c.head_dim));
  return [c, tensors, scale] {
    const kernels::ScoreInput input{
        .q = tensors->q, .k = tensors->k, .head_dim = c.head_dim, .scale = scale};
    if (c.op == "top_cdf_keys") {
      (void)kernels::KeysOfTopCdf(input, c.block.q, 0.9F);
    } else {
      // A threshold is below 1, also for a single key.
      const float threshold = 0.5F / static_cast<float>(c.lists->k_tokens);
      (void)kernels::KeysAboveThreshold(input, c.block.q, threshold);
    }
  };
}

}  // namespace

std::function<void()> ListWork(const LocalConfig& c) {
  if (!MakesLists(c.op) || !c.lists || c.amount < 1 || c.lists->k_tokens < 1 ||
      (c.op == "key_lists" && !c.lists->keys)) {
    Fail(ErrorCode::kInvalidArgument,
         "{} {}: expected key_lists, threshold_keys or top_cdf_keys with at least one row and the "
         "size of the lists",
         c.op,
         c.amount);
  }
  return c.op == "key_lists" ? FromBits(c) : FromScores(c);
}

}  // namespace dbsp::profiler
