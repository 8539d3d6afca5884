// SPDX-License-Identifier: Apache-2.0
#include "profiler/ranks/exchange_messages.h"

#include <cstring>
#include <limits>
#include <string_view>
#include <utility>

#include "core/base64.h"
#include "core/error.h"

namespace dbsp::profiler {

void CheckMessage(const JsonView& message) {
  message.RefuseOtherKeys({"do",
                           "did",
                           "trial",
                           "config",
                           "size",
                           "id",
                           "repeats",
                           "why",
                           "took",
                           "wrong",
                           "failed",
                           "interrupted"});
  for (const char* text : {"do", "did", "config", "id", "why", "wrong", "failed"}) {
    if (message.Has(text)) (void)message[text].String();
  }
  constexpr int kMost = std::numeric_limits<int>::max();
  if (message.Has("trial")) (void)message["trial"].Int(0, kMost);
  if (message.Has("size")) (void)message["size"].Int(1, runtime::kMostRanks);
  if (message.Has("repeats")) (void)message["repeats"].Int(1, kMost);
  if (message.Has("took")) (void)message["took"].Int(0);
  if (message.Has("interrupted")) (void)message["interrupted"].Bool();
}

std::string EncodeId(const runtime::NcclId& id) {
  return Base64Encode(std::string_view(id.data(), id.size()));
}

runtime::NcclId DecodeId(const std::string& text) {
  runtime::NcclId id{};
  const auto bytes = Base64Decode(text);
  if (!bytes || bytes->size() != id.size()) {
    Fail(ErrorCode::kInternal, "rank 0 sent a message without an NCCL id");
  }
  std::memcpy(id.data(), bytes->data(), id.size());
  return id;
}

runtime::NcclOptions OptionsWith(const NcclWorld& world,
                                 std::function<std::optional<std::string>()> must_stop) {
  runtime::NcclOptions options = world.options;
  options.must_stop = std::move(must_stop);
  return options;
}

int DeviceOfRank(const runtime::ProcessGroup& group, int devices) {
  const runtime::RankProcess& me = group.ranks()[group.rank()];
  if (me.local_rank < devices) return me.local_rank;
  // A launcher that binds devices makes only one visible to each process, as number 0.
  if (devices == 1) return 0;
  Fail(ErrorCode::kUnavailable,
       "{} is number {} on its host, which has {} GPUs: exchanges over NCCL need one GPU per rank",
       group.NameOf(group.rank()),
       me.local_rank + 1,
       devices);
}

std::vector<int> NodesOfRanks(const runtime::ProcessGroup& group) {
  std::vector<int> nodes;
  for (const runtime::RankProcess& process : group.ranks()) nodes.push_back(process.node);
  return nodes;
}

}  // namespace dbsp::profiler
