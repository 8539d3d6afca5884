// SPDX-License-Identifier: Apache-2.0
// Messages between rank 0 and the other rank processes while exchanges are measured
// (docs/design/0014). Every message but "interrupted" carries the number of its trial, "trial".
//
// Rank 0 orders:
//   {"do": "begin", "config": key, "size": n, "id": base64}  "id" only to join a new communicator
//   {"do": "sample"}  {"do": "leave"}  {"do": "abort", "why": text}  {"do": "end"}
//   {"do": "overlap", "config": key, "id": base64}, followed by any number of
//   {"do": "alone"}  {"do": "beside", "repeats": n}  {"do": "check"}
// The other ranks answer:
//   {"did": order, "took": ns, "wrong": text}  "took" is absent when the sample was not covered
//   {"failed": why}, once, instead of "did"; from then on only "abort" is answered
//   {"interrupted": true}, at any time
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "profiler/ranks/nccl_world.h"
#include "runtime/nccl/nccl_communicator.h"
#include "runtime/ranks/process_group.h"

namespace dbsp::profiler {

/// Interval between two reads of the sockets during a wait for NCCL. A read is one system call per
/// rank.
inline constexpr std::int64_t kPollIntervalNs = 1'000'000;

/// Checks that the members of a message have the types and ranges above.
/// errors  Error{kCorruptInput} naming the member
void CheckMessage(const JsonView& message);

[[nodiscard]] std::string EncodeId(const runtime::NcclId& id);
/// errors  Error{kInternal} when `text` is not an id
[[nodiscard]] runtime::NcclId DecodeId(const std::string& text);

/// The world's NCCL options with another question to ask during waits.
[[nodiscard]] runtime::NcclOptions OptionsWith(
    const NcclWorld& world, std::function<std::optional<std::string>()> must_stop);

/// The device of this process's rank: its number on its host, or 0 when the launcher made only one
/// device visible.
/// errors  Error{kUnavailable} with fewer devices than ranks on this host
[[nodiscard]] int DeviceOfRank(const runtime::ProcessGroup& group, int devices);

/// [ranks] the host number of each rank.
[[nodiscard]] std::vector<int> NodesOfRanks(const runtime::ProcessGroup& group);

}  // namespace dbsp::profiler
