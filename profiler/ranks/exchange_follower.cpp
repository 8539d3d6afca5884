// SPDX-License-Identifier: Apache-2.0
#include "profiler/ranks/exchange_follower.h"

#include <cstdint>
#include <optional>
#include <string>

#include "core/error.h"
#include "core/json.h"
#include "core/records.h"
#include "profiler/ranks/exchange_messages.h"
#include "profiler/ranks/exchange_session.h"
#include "runtime/clock.h"

namespace dbsp::profiler {
namespace {

class Follower {
 public:
  Follower(runtime::ProcessGroup& group,
           const NcclWorld& world,
           int device,
           const std::function<bool()>& interrupted)
      : group_(group),
        session_(world, OptionsWith(world, [this] { return MustStop(); }), group.rank(), device),
        interrupted_(interrupted) {}

  void Run() {
    for (;;) {
      const Json order = Next();
      trial_ = order.value("trial", 0);
      const std::string what = order.value("do", "");
      if (what == "end") return;
      Json answer{{"did", what}, {"trial", *trial_}};
      if (what == "abort") {
        session_.Abort(order.value("why", ""));
      } else if (failed_ != trial_) {
        try {
          Do(what, order, answer);
        } catch (const std::exception& error) {
          if (group_.broken()) throw;
          session_.Abort(error.what());
          failed_ = trial_;
          answer = {{"failed", error.what()}, {"trial", *trial_}};
        }
      } else {
        continue;
      }
      group_.Send(0, answer);
    }
  }

 private:
  void Do(const std::string& what, const Json& order, Json& answer) {
    if (what == "begin") {
      std::optional<runtime::NcclId> id;
      if (order.contains("id")) id = DecodeId(order.value("id", ""));
      const TrialConfig config = ConfigOf(order.value("config", ""));
      const auto& exchange = std::get<ExchangeConfig>(config);
      session_.Begin(
          exchange, order.value("size", 0), StrideOf(NodesOfRanks(group_), exchange), id);
      if (const auto wrong = session_.Check()) answer["wrong"] = *wrong;
    } else if (what == "sample") {
      answer["took"] = session_.Sample();
    } else if (what == "overlap") {
      const TrialConfig config = ConfigOf(order.value("config", ""));
      session_.BeginOverlap(std::get<OverlapConfig>(config), DecodeId(order.value("id", "")));
    } else if (what == "alone") {
      answer["took"] = session_.Alone();
    } else if (what == "beside") {
      if (const auto took = session_.Beside(order.value("repeats", 1))) answer["took"] = *took;
    } else if (what == "check") {
      if (const auto wrong = session_.WrongOverlap()) answer["wrong"] = *wrong;
    } else if (what == "leave") {
      session_.Leave();
    } else {
      Fail(ErrorCode::kInternal, "rank 0 sent the unknown order '{}'", what);
    }
  }

  void TellWhenInterrupted() {
    if (!told_ && interrupted_()) {
      told_ = true;
      group_.Send(0, {{"interrupted", true}});
    }
  }

  Json Next() {
    // Rank 0 stores a trial between two orders, which takes time. When rank 0 hangs, this rank must
    // still end.
    const std::int64_t longest = 10 * group_.deadline_ns();
    const std::int64_t end = runtime::SteadyNs() + longest;
    for (;;) {
      TellWhenInterrupted();
      group_.Pump();
      if (!group_.Pending(0).empty() || group_.broken()) {
        return group_.Receive(0, 0, "its next order was expected");
      }
      if (runtime::SteadyNs() >= end) group_.GiveUpOn(0, longest, "its next order was expected");
      group_.WaitFor(0, 50'000'000);
    }
  }

  /// While this rank waits in an exchange, the only order that rank 0 may send is "abort".
  std::optional<std::string> MustStop() {
    const std::int64_t now = runtime::SteadyNs();
    if (now - polled_ns_ < kPollIntervalNs) return std::nullopt;
    polled_ns_ = now;
    TellWhenInterrupted();
    group_.Pump();
    if (group_.broken()) return group_.broken();
    for (const Json& order : group_.Pending(0)) {
      if (order.value("do", "") == "abort") return order.value("why", "");
    }
    return std::nullopt;
  }

  runtime::ProcessGroup& group_;
  ExchangeSession session_;
  const std::function<bool()>& interrupted_;
  std::int64_t polled_ns_ = 0;
  std::optional<int> trial_;
  std::optional<int> failed_;  ///< the trial in which this rank failed
  bool told_ = false;
};

}  // namespace

void FollowRankZero(runtime::ProcessGroup& group,
                    const NcclWorld& world,
                    int device,
                    const std::function<bool()>& interrupted) {
  Follower(group, world, device, interrupted).Run();
}

}  // namespace dbsp::profiler
