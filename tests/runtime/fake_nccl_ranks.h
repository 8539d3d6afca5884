// SPDX-License-Identifier: Apache-2.0
// Ranks over the fake NCCL of tests/runtime/fake_vendor, which uses host memory as device memory.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "runtime/dynamic_library.h"
#include "runtime/nccl/nccl_communicator.h"
#include "tests/runtime/fake_vendor.h"

namespace dbsp::testing {

/// The ranks of one test, each with a stream and scratch memory.
class FakeNcclRanks {
 public:
  explicit FakeNcclRanks(int ranks, std::int64_t deadline_ns = 60'000'000'000)
      : fake_(FakeLibrary("libnccl.so.2"), "no fake"),
        streams_(static_cast<std::size_t>(ranks)),
        scratch_(static_cast<std::size_t>(ranks), std::vector<float>(ranks)) {
    options_.library = FakeLibrary("libnccl.so.2");
    options_.deadline_ns = deadline_ns;
  }

  void Run(const std::function<void(runtime::NcclCommunicator&)>& body) {
    runtime::RunNcclRanks(
        static_cast<int>(streams_.size()),
        options_,
        [this](int rank) { return Queue(rank); },
        body);
  }

  [[nodiscard]] runtime::NcclQueue Queue(int rank) {
    int* stream = &streams_[rank];
    const auto idle = fake_.Get<int(const int*)>("FakeNcclIdle");
    return {stream, [stream, idle] { return idle(stream) != 0; }, scratch_[rank].data()};
  }
  /// The calls of `rank` since it joined: "[ s0:5 r1:7 ] allgather ".
  [[nodiscard]] std::string Calls(int rank) const {
    return fake_.Get<const char*(int)>("FakeNcclCalls")(rank);
  }
  [[nodiscard]] int CommunicatorsAlive() const { return fake_.Get<int()>("FakeNcclCommsAlive")(); }
  [[nodiscard]] const runtime::NcclOptions& options() const { return options_; }

 private:
  runtime::DynamicLibrary fake_;
  runtime::NcclOptions options_;
  std::vector<int> streams_;
  std::vector<std::vector<float>> scratch_;
};

}  // namespace dbsp::testing
