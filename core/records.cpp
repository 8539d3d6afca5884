// SPDX-License-Identifier: Apache-2.0
#include "core/records.h"

#include <limits>

#include "core/json.h"

namespace dbsp {
namespace {

// JSON with sorted keys: unambiguous whatever the names contain, and SQL can look inside the key.

Json BlockJson(const BlockSize& block) { return {block.q, block.k}; }

Json KeyJson(const AttentionConfig& config) {
  Json key{{"kind", "attention"},
           {"kernel", config.kernel},
           {"dtype", NameOf(config.dtype)},
           {"heads", config.heads},
           {"head_dim", config.head_dim},
           {"block", BlockJson(config.block)},
           {"q_blocks", config.q_blocks},
           {"k_blocks", config.k_blocks},
           {"pattern", config.pattern},
           {"seed", config.seed},
           {"kept_blocks", config.active_blocks},
           {"active_rows", config.active_rows}};
  if (config.lists) {
    key["lists"] = {{"step", config.lists->step},
                    {"padded_keys", config.lists->padded_keys},
                    {"max_keys", config.lists->max_keys},
                    {"runs", config.lists->runs}};
  }
  return key;
}

Json KeyJson(const ExchangeConfig& config) {
  Json key{{"kind", "exchange"},
           {"op", config.op},
           {"transport", config.transport},
           {"ranks", config.ranks},
           {"bytes_per_rank", config.bytes_per_rank},
           {"unevenness", config.unevenness}};
  // Keys from before exchanges crossed hosts stay what they were.
  if (config.nodes != 1) key["nodes"] = config.nodes;
  return key;
}

Json KeyJson(const LocalConfig& config) {
  Json key{{"kind", "local"},
           {"op", config.op},
           {"amount", config.amount},
           {"head_dim", config.head_dim},
           {"block", BlockJson(config.block)}};
  if (config.lists) {
    key["lists"] = {{"k_tokens", config.lists->k_tokens}};
    if (config.lists->keys) key["lists"]["keys"] = *config.lists->keys;
  }
  return key;
}

Json KeyJson(const OverlapConfig& config) {
  return {{"kind", "overlap"},
          {"attention", KeyJson(config.attention)},
          {"exchange", KeyJson(config.exchange)},
          {"sm_margin", config.sm_margin},
          {"timed", NameOf(config.timed)}};
}

int IntOf(const JsonView& view) {
  return static_cast<int>(view.Int(0, std::numeric_limits<int>::max()));
}

BlockSize BlockOf(const JsonView& view) { return {IntOf(view[0]), IntOf(view[1])}; }

AttentionConfig AttentionOf(const JsonView& key) {
  AttentionConfig config;
  config.kernel = key["kernel"].String();
  config.dtype = key["dtype"].String() == NameOf(DType::kBf16) ? DType::kBf16 : DType::kF32;
  config.heads = IntOf(key["heads"]);
  config.head_dim = IntOf(key["head_dim"]);
  config.block = BlockOf(key["block"]);
  config.q_blocks = IntOf(key["q_blocks"]);
  config.k_blocks = IntOf(key["k_blocks"]);
  config.pattern = key["pattern"].String();
  config.seed = key["seed"].Unsigned();
  config.active_blocks = key["kept_blocks"].Int(0);
  config.active_rows = key["active_rows"].Int(0);
  if (key.Has("lists")) {
    const JsonView lists = key["lists"];
    config.lists = {.step = IntOf(lists["step"]),
                    .padded_keys = lists["padded_keys"].Int(0),
                    .max_keys = lists["max_keys"].Int(0),
                    .runs = lists["runs"].Int(0)};
  }
  return config;
}

ExchangeConfig ExchangeOf(const JsonView& key) {
  return {.op = key["op"].String(),
          .transport = key["transport"].String(),
          .ranks = IntOf(key["ranks"]),
          .bytes_per_rank = key["bytes_per_rank"].Int(0),
          .unevenness = key["unevenness"].Number(),
          .nodes = key.Has("nodes") ? IntOf(key["nodes"]) : 1};
}

LocalConfig LocalOf(const JsonView& key) {
  LocalConfig config{.op = key["op"].String(),
                     .amount = key["amount"].Int(0),
                     .head_dim = IntOf(key["head_dim"]),
                     .block = BlockOf(key["block"])};
  if (key.Has("lists")) {
    const JsonView lists = key["lists"];
    config.lists = ListSize{.k_tokens = IntOf(lists["k_tokens"])};
    if (lists.Has("keys")) config.lists->keys = lists["keys"].Int(0);
  }
  return config;
}

OverlapConfig OverlapOf(const JsonView& key) {
  const std::string timed = key["timed"].String();
  if (timed != "attention" && timed != "exchange") key["timed"].Wrong("attention or exchange");
  return {.attention = AttentionOf(key["attention"]),
          .exchange = ExchangeOf(key["exchange"]),
          .sm_margin = IntOf(key["sm_margin"]),
          .timed = ParseTimedSide(timed)};
}

}  // namespace

bool Fits(const KernelVariant& kernel, int head_dim, const BlockSize& block) {
  return kernel.head_dim.value_or(head_dim) == head_dim &&
         kernel.q_block.value_or(block.q) == block.q && kernel.k_block.value_or(block.k) == block.k;
}

bool MakesLists(std::string_view op) {
  return op == "key_lists" || op == "threshold_keys" || op == "top_cdf_keys";
}

TrialConfig ConfigOf(const std::string& key) {
  const std::string origin = "a trial's key";
  const Json json = ParseJson(key, origin);
  const JsonView view(json, origin);
  const std::string kind = view["kind"].String();
  if (kind == "attention") return AttentionOf(view);
  if (kind == "exchange") return ExchangeOf(view);
  if (kind == "overlap") return OverlapOf(view);
  if (kind != "local") view["kind"].Wrong("attention, exchange, local or overlap");
  return LocalOf(view);
}

std::string KeyOf(const TrialConfig& config) {
  return DumpJson(std::visit([](const auto& kind) { return KeyJson(kind); }, config));
}

}  // namespace dbsp
