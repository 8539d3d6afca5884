// SPDX-License-Identifier: Apache-2.0
#include "profiler/ranks/exchange_leader.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/error.h"
#include "profiler/ranks/exchange_messages.h"
#include "profiler/ranks/lockstep_sampler.h"
#include "runtime/clock.h"

namespace dbsp::profiler {
namespace {

/// Time that an exchange may take to end by itself after the user interrupted.
constexpr std::int64_t kInterruptGraceNs = 1'000'000'000;
constexpr std::int64_t kShortWaitNs = 2'000'000;

}  // namespace

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
  if (runtime::SteadyNs() - *interrupted_since_ < kInterruptGraceNs) return std::nullopt;
  return "interrupted";
}

std::optional<std::string> ExchangeLeader::MustStop() {
  const std::int64_t now = runtime::SteadyNs();
  if (now - polled_ns_ < kPollIntervalNs) return std::nullopt;
  polled_ns_ = now;
  group_.Pump();
  return FailureElsewhere();
}

void ExchangeLeader::Tell(int size, Json message) {
  message["trial"] = trial_;
  for (int r = 1; r < size; ++r) group_.Send(r, message);
}

Json ExchangeLeader::Await(int rank, const char* did) {
  // A rank that hangs in NCCL reports it at its own deadline, which began a little later.
  const std::int64_t longest = 2 * group_.deadline_ns();
  const std::int64_t end = runtime::SteadyNs() + longest;
  for (;;) {
    group_.Pump();
    if (const auto why = FailureElsewhere()) throw Error(ErrorCode::kMeasurement, *why);
    if (!group_.Pending(rank).empty()) {
      const Json message = group_.Receive(rank, 0, did);
      interrupted_elsewhere_ |= message.contains("interrupted");
      if (message.value("did", "") == did && message.value("trial", -1) == trial_) return message;
    } else if (runtime::SteadyNs() >= end) {
      // The abort that follows shows whether the rank is lost.
      Fail(ErrorCode::kMeasurement,
           "{} did not answer within {:g} s: {}",
           group_.NameOf(rank),
           static_cast<double>(longest) * 1e-9,
           did);
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
    // A lost rank must not prevent the message to the others.
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
        answer = group_.Receive(r, group_.deadline_ns(), "it had to leave the exchange");
        interrupted_elsewhere_ |= answer.contains("interrupted");
      } while (answer.value("did", "") != "abort" || answer.value("trial", -1) != trial_);
    }
  } catch (const std::exception&) {
    // The group is then broken, and broken() says why.
  }
}

template <typename Run>
void ExchangeLeader::WithAllOrNone(int size, Run run) {
  if (size > group_.size()) {
    Fail(ErrorCode::kUnavailable,
         "exchanges between {} ranks need one process per rank; there are {}",
         size,
         group_.size());
  }
  if (group_.broken()) throw Error(ErrorCode::kMeasurement, *group_.broken());
  ++trial_;
  try {
    run();
  } catch (const WrongResult&) {
    throw;  // every rank has answered, so no rank hangs
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kUnavailable && joined_ == 0) throw;  // no rank has begun
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
      slowest = std::nullopt;  // the other ranks' answers must still be read
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
      result = MeasureWithRepeats(
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
      LeaveCommunicator();  // its streams and limits belong to this overlap
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
      // The rank has already ended.
    }
  }
}

}  // namespace dbsp::profiler
