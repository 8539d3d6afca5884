// SPDX-License-Identifier: Apache-2.0
#include "profiler/ranks/exchange_processes.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "core/base64.h"
#include "core/error.h"
#include "profiler/ranks/lockstep_sampler.h"
#include "runtime/clock.h"

// Messages, each with the number of its trial:
//   rank 0   {"do": "begin", "config": key, "size": n, "id": base64 where a communicator is joined}
//            {"do": "sample"}  {"do": "leave"}  {"do": "abort", "why": text}  {"do": "end"}
//            {"do": "overlap", "config": key, "id": base64}, then {"do": "alone"}, {"do": "beside",
//            "repeats": n} and {"do": "check"}
//   others   {"did": the same, "took": ns or "wrong": text}; "took" is absent where the other side
//            did not run all the time
//            {"failed": why}, once, instead of that; then only "abort" is answered
//            {"interrupted": true}, at any time
namespace dbsp::profiler {
namespace {

/// Between two looks at the sockets while waiting for NCCL: a look is a system call for every rank.
constexpr std::int64_t kLookEveryNs = 1'000'000;
/// An exchange that runs when the user interrupts may end by itself for so long.
constexpr std::int64_t kPatienceNs = 1'000'000'000;
constexpr std::int64_t kShortWaitNs = 2'000'000;

std::string EncodeId(const runtime::NcclId& id) {
  return Base64Encode(std::string_view(id.data(), id.size()));
}

runtime::NcclId DecodeId(const std::string& text) {
  runtime::NcclId id{};
  const auto bytes = Base64Decode(text);
  if (!bytes || bytes->size() != id.size()) {
    Fail(ErrorCode::kInternal, "rank 0 sent no NCCL id");
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

}  // namespace

int DeviceOfRank(const runtime::ProcessGroup& group, int devices) {
  const runtime::RankProcess& me = group.ranks()[group.rank()];
  if (me.local_rank < devices) return me.local_rank;
  // Launchers that bind devices show every process its own only, as number 0.
  if (devices == 1) return 0;
  Fail(ErrorCode::kUnavailable,
       "{} is number {} on its host, which has {} GPUs: exchanges over NCCL take one each",
       group.NameOf(group.rank()),
       me.local_rank + 1,
       devices);
}

std::vector<int> NodesOfRanks(const runtime::ProcessGroup& group) {
  std::vector<int> nodes;
  for (const runtime::RankProcess& process : group.ranks()) nodes.push_back(process.node);
  return nodes;
}

ExchangeLeader::ExchangeLeader(runtime::ProcessGroup& group,
                               NcclWorld world,
                               int device,
                               std::function<bool()> interrupted)
    : group_(group),
      world_(std::move(world)),
      session_(world_, OptionsWith(world_, [this] { return MustStop(); }), 0, device),
      interrupted_(std::move(interrupted)) {}

bool ExchangeLeader::Interrupted() {
  if (!interrupted_elsewhere_) {
    group_.Pump();
    for (int r = 1; r < group_.size(); ++r) {
      for (const Json& message : group_.Pending(r)) {
        if (message.contains("interrupted")) interrupted_elsewhere_ = true;
      }
    }
  }
  return interrupted_elsewhere_ || interrupted_();
}

std::optional<std::string> ExchangeLeader::FailureElsewhere() {
  if (group_.broken()) return group_.broken();
  for (int r = 1; r < group_.size(); ++r) {
    for (const Json& message : group_.Pending(r)) {
      if (message.contains("failed") && message.value("trial", -1) == trial_) {
        return group_.NameOf(r) + ": " + message.value("failed", "");
      }
    }
  }
  if (!Interrupted()) return std::nullopt;
  if (!interrupted_since_) interrupted_since_ = runtime::SteadyNs();
  if (runtime::SteadyNs() - *interrupted_since_ < kPatienceNs) return std::nullopt;
  return "interrupted";
}

std::optional<std::string> ExchangeLeader::MustStop() {
  const std::int64_t now = runtime::SteadyNs();
  if (now - looked_ns_ < kLookEveryNs) return std::nullopt;
  looked_ns_ = now;
  group_.Pump();
  return FailureElsewhere();
}

void ExchangeLeader::Tell(int size, Json message) {
  message["trial"] = trial_;
  for (int r = 1; r < size; ++r) group_.Send(r, message);
}

Json ExchangeLeader::Await(int rank, const char* did) {
  // A rank that hangs in NCCL reports that at its own deadline, which began a little later.
  const std::int64_t longest = 2 * group_.deadline_ns();
  const std::int64_t end = runtime::SteadyNs() + longest;
  for (;;) {
    group_.Pump();
    if (const auto why = FailureElsewhere()) throw Error(ErrorCode::kMeasurement, *why);
    if (!group_.Pending(rank).empty() || runtime::SteadyNs() >= end) {
      const Json message = group_.Receive(rank, 0, did);
      interrupted_elsewhere_ |= message.contains("interrupted");
      if (message.value("did", "") == did && message.value("trial", -1) == trial_) return message;
    } else {
      group_.WaitFor(rank, kShortWaitNs);
    }
  }
}

void ExchangeLeader::LeaveCommunicator() {
  if (joined_ == 0) return;
  const int size = std::exchange(joined_, 0);
  Tell(size, {{"do", "leave"}});
  session_.Leave();
  for (int r = 1; r < size; ++r) (void)Await(r, "leave");
}

void ExchangeLeader::AbortAll(int size, const std::string& why) noexcept {
  joined_ = 0;
  session_.Abort(why);
  try {
    const Json abort{{"do", "abort"}, {"trial", trial_}, {"why", why}};
    // One that is gone must not keep the others from being told.
    std::vector<bool> told(size);
    for (int r = 1; r < size; ++r) {
      try {
        group_.Send(r, abort);
        told[r] = true;
      } catch (const Error&) {
      }
    }
    for (int r = 1; r < size && !group_.broken(); ++r) {
      Json answer;
      do {
        answer = group_.Receive(r, group_.deadline_ns(), "it was to leave the exchange");
        interrupted_elsewhere_ |= answer.contains("interrupted");
      } while (answer.value("did", "") != "abort" || answer.value("trial", -1) != trial_);
    }
  } catch (const std::exception&) {
    // The group is broken then, and says why.
  }
}

template <typename Run>
void ExchangeLeader::WithAllOrNone(int size, Run run) {
  if (size > group_.size()) {
    Fail(ErrorCode::kUnavailable,
         "exchanges between {} ranks take a process each; there are {}",
         size,
         group_.size());
  }
  if (group_.broken()) throw Error(ErrorCode::kMeasurement, *group_.broken());
  ++trial_;
  try {
    run();
  } catch (const WrongResult&) {
    throw;  // every rank has answered; nothing hangs
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kUnavailable && joined_ == 0) throw;  // nothing was begun
    AbortAll(group_.size(), error.what());
    const std::string why = error.what();
    const auto broken = group_.broken();
    if (!broken || why.find(*broken) != std::string::npos) throw;
    throw Error(error.code(), why + "; " + *broken);
  }
}

void ExchangeLeader::Begin(const ExchangeConfig& config, int size) {
  std::optional<runtime::NcclId> id;
  if (joined_ != size) {
    LeaveCommunicator();
    id = runtime::NcclCommunicator::MakeId(world_.options.library);
  }
  joined_ = size;
  Json begin{{"do", "begin"}, {"config", KeyOf(config)}, {"size", size}};
  if (id) begin["id"] = EncodeId(*id);
  Tell(size, begin);
  session_.Begin(config, size, StrideOf(NodesOfRanks(group_), config), id);
  std::optional<std::string> wrong = session_.Check();
  for (int r = 1; r < size; ++r) {
    const std::string theirs = Await(r, "begin").value("wrong", "");
    if (!wrong && !theirs.empty()) wrong = theirs;
  }
  if (wrong) throw WrongResult(*wrong);
}

std::int64_t ExchangeLeader::Sample(int size) {
  Tell(size, {{"do", "sample"}});
  std::int64_t longest = session_.Sample();
  for (int r = 1; r < size; ++r) {
    longest = std::max<std::int64_t>(longest, Await(r, "sample").value("took", std::int64_t{0}));
  }
  return longest;
}

void ExchangeLeader::Check(const ExchangeConfig& config, int size) {
  WithAllOrNone(size, [&] { Begin(config, size); });
}

Measurement ExchangeLeader::OrInterrupted(const std::function<Measurement()>& measure) {
  try {
    return measure();
  } catch (const Error&) {
    if (!Interrupted()) throw;
    Measurement result;
    result.stop_reason = "interrupted";
    return result;
  }
}

Measurement ExchangeLeader::Measure(const ExchangeConfig& config,
                                    int size,
                                    const MeasureLimits& limits) {
  return OrInterrupted([&] {
    Measurement result;
    WithAllOrNone(size, [&] {
      Begin(config, size);
      result = profiler::Measure(
          limits,
          [&] { return Reading{Sample(size) / kExchangesPerSample}; },
          runtime::SteadyNs,
          [&] { return Interrupted(); });
    });
    return result;
  });
}

void ExchangeLeader::BeginOverlap(const OverlapConfig& config) {
  const int size = config.exchange.ranks;
  LeaveCommunicator();
  const runtime::NcclId id = runtime::NcclCommunicator::MakeId(world_.options.library);
  joined_ = size;
  Tell(size, {{"do", "overlap"}, {"config", KeyOf(config)}, {"id", EncodeId(id)}});
  session_.BeginOverlap(config, id);
  for (int r = 1; r < size; ++r) (void)Await(r, "overlap");
}

std::optional<std::int64_t> ExchangeLeader::SampleOverlap(int size, std::optional<int> repeats) {
  const char* what = repeats ? "beside" : "alone";
  Json order{{"do", what}};
  if (repeats) order["repeats"] = *repeats;
  Tell(size, order);
  std::optional<std::int64_t> slowest =
      repeats ? session_.Beside(*repeats) : std::optional(session_.Alone());
  for (int r = 1; r < size; ++r) {
    const Json answer = Await(r, what);
    if (!answer.contains("took")) {
      slowest = std::nullopt;  // the others' answers are still to be read
    } else if (slowest) {
      slowest = std::max<std::int64_t>(*slowest, answer.value("took", std::int64_t{0}));
    }
  }
  return slowest;
}

Measurement ExchangeLeader::MeasureOverlap(const OverlapConfig& config,
                                           const MeasureLimits& limits) {
  const int size = config.exchange.ranks;
  return OrInterrupted([&] {
    Measurement result;
    WithAllOrNone(size, [&] {
      BeginOverlap(config);
      result = MeasureByRepeats(
          limits,
          [&] { return SampleOverlap(size, std::nullopt).value(); },
          [&](int repeats) { return SampleOverlap(size, repeats); },
          [&] { return Interrupted(); });
      Tell(size, {{"do", "check"}});
      std::optional<std::string> wrong = session_.WrongOverlap();
      for (int r = 1; r < size; ++r) {
        const std::string theirs = Await(r, "check").value("wrong", "");
        if (!wrong && !theirs.empty()) wrong = theirs;
      }
      LeaveCommunicator();  // its streams and limits are this overlap's
      if (wrong) throw WrongResult(*wrong);
    });
    return result;
  });
}

void ExchangeLeader::End() noexcept {
  if (std::exchange(ended_, true)) return;
  try {
    if (!group_.broken()) LeaveCommunicator();
  } catch (const std::exception&) {
    session_.Abort("the run ends");
  }
  for (int r = 1; r < group_.size(); ++r) {
    try {
      group_.Send(r, {{"do", "end"}, {"trial", trial_}});
    } catch (const std::exception&) {
      // It is gone, which is what it was to do.
    }
  }
}

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
      trial_ = order.value("trial", -1);
      const std::string what = order.value("do", "");
      if (what == "end") return;
      Json answer{{"did", what}, {"trial", trial_}};
      if (what == "abort") {
        session_.Abort(order.value("why", ""));
      } else if (failed_ != trial_) {
        try {
          Do(what, order, answer);
        } catch (const std::exception& error) {
          if (group_.broken()) throw;
          session_.Abort(error.what());
          failed_ = trial_;
          answer = {{"failed", error.what()}, {"trial", trial_}};
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
      Fail(ErrorCode::kInternal, "rank 0 ordered '{}'", what);
    }
  }

  void TellWhenInterrupted() {
    if (!told_ && interrupted_()) {
      told_ = true;
      group_.Send(0, {{"interrupted", true}});
    }
  }

  Json Next() {
    // Rank 0 stores a trial between two; that it hangs for good must not keep this rank for good.
    const std::int64_t longest = 10 * group_.deadline_ns();
    const std::int64_t end = runtime::SteadyNs() + longest;
    for (;;) {
      TellWhenInterrupted();
      group_.Pump();
      if (!group_.Pending(0).empty() || group_.broken() || runtime::SteadyNs() >= end) {
        return group_.Receive(0, 0, "its next order");
      }
      group_.WaitFor(0, 50'000'000);
    }
  }

  /// While this rank waits in an exchange, rank 0 has one thing to say: that it has failed.
  std::optional<std::string> MustStop() {
    const std::int64_t now = runtime::SteadyNs();
    if (now - looked_ns_ < kLookEveryNs) return std::nullopt;
    looked_ns_ = now;
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
  std::int64_t looked_ns_ = 0;
  int trial_ = -1;
  int failed_ = -2;
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
