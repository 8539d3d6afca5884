// SPDX-License-Identifier: Apache-2.0
#include "core/records.h"

#include "core/json.h"

namespace dbsp {
namespace {

// JSON with sorted keys: unambiguous whatever the names contain, and SQL can look inside the key.

Json BlockJson(const BlockSize& block) { return {block.q, block.k}; }

Json KeyJson(const AttentionConfig& config) {
  return {{"kind", "attention"},
          {"kernel", config.kernel},
          {"dtype", NameOf(config.dtype)},
          {"heads", config.heads},
          {"head_dim", config.head_dim},
          {"block", BlockJson(config.block)},
          {"q_blocks", config.q_blocks},
          {"k_blocks", config.k_blocks},
          {"pattern", config.pattern},
          {"seed", config.seed},
          {"kept_blocks", config.kept_blocks},
          {"active_rows", config.active_rows}};
}

Json KeyJson(const ExchangeConfig& config) {
  return {{"kind", "exchange"},
          {"op", config.op},
          {"transport", config.transport},
          {"ranks", config.ranks},
          {"bytes_per_rank", config.bytes_per_rank},
          {"unevenness", config.unevenness}};
}

Json KeyJson(const LocalConfig& config) {
  return {{"kind", "local"},
          {"op", config.op},
          {"amount", config.amount},
          {"head_dim", config.head_dim},
          {"block", BlockJson(config.block)}};
}

}  // namespace

bool Fits(const KernelVariant& kernel, int head_dim, const BlockSize& block) {
  return kernel.head_dim.value_or(head_dim) == head_dim &&
         kernel.q_block.value_or(block.q) == block.q && kernel.k_block.value_or(block.k) == block.k;
}

std::string KeyOf(const TrialConfig& config) {
  return DumpJson(std::visit([](const auto& kind) { return KeyJson(kind); }, config));
}

}  // namespace dbsp
