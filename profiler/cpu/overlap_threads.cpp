// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "core/error.h"
#include "core/parallel_for.h"
#include "profiler/cpu/cpu_attention.h"
#include "profiler/ranks/exchange_rank.h"
#include "profiler/ranks/lockstep_sampler.h"
#include "profiler/ranks/overlap_trial.h"
#include "runtime/clock.h"
#include "runtime/ranks/communicator.h"

namespace dbsp::profiler {
namespace {

struct Span {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  [[nodiscard]] std::int64_t ns() const { return end - begin; }
  /// Whether all of `other` lies in it.
  [[nodiscard]] bool Covers(const Span& other) const {
    return begin <= other.begin && other.end <= end;
  }
};

/// A rank's second thread, which runs attention when asked.
/// threads  one caller
class AttentionThread {
 public:
  explicit AttentionThread(const AttentionConfig& config)
      : attention_(config), thread_(StartThread([this] { Work(); })) {}
  ~AttentionThread() {
    {
      const std::lock_guard lock(mutex_);
      end_ = true;
      repeat_ = false;
    }
    changed_.notify_all();
    thread_.join();
  }
  AttentionThread(const AttentionThread&) = delete;
  AttentionThread& operator=(const AttentionThread&) = delete;

  enum class Calls : std::uint8_t { kOne, kUntilStopped };
  void Start(Calls calls) {
    {
      const std::lock_guard lock(mutex_);
      asked_ = true;
      begun_ = false;
      repeat_ = calls == Calls::kUntilStopped;
    }
    changed_.notify_all();
  }
  void WaitBegun() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return begun_; });
  }
  [[nodiscard]] bool done() {
    const std::lock_guard lock(mutex_);
    return !asked_;
  }
  /// Ends the repetition after the current call.
  void Stop() {
    const std::lock_guard lock(mutex_);
    repeat_ = false;
  }
  /// Waits for the calls. Returns the time from the first one's start to the last one's end.
  Span Wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !asked_; });
    if (failure_) std::rethrow_exception(failure_);
    return span_;
  }

 private:
  void Work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return asked_ || end_; });
      if (end_) return;
      span_.begin = runtime::SteadyNs();
      begun_ = true;
      changed_.notify_all();
      do {
        lock.unlock();
        std::exception_ptr failure;
        try {
          attention_.Run();
        } catch (...) {  // Wait() rethrows it on the caller's thread
          failure = std::current_exception();
        }
        const std::int64_t now = runtime::SteadyNs();
        lock.lock();
        span_.end = now;
        if (failure) {
          failure_ = failure;
          repeat_ = false;
        }
      } while (repeat_);
      asked_ = false;
      changed_.notify_all();
    }
  }

  CpuAttention attention_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool asked_ = false;  ///< calls were started and have not all ended
  bool begun_ = false;
  bool repeat_ = false;
  bool end_ = false;
  Span span_;
  std::exception_ptr failure_;
  std::thread thread_;  // the last member, so that it starts when all others are initialised
};

/// State shared by the ranks, from which they decide when to stop exchanging.
struct Shared {
  explicit Shared(int ranks) : attending(static_cast<std::size_t>(ranks)) {}
  std::vector<std::atomic<bool>> attending;
  /// Used alternately, so that rank 0 never overwrites a value that a slower rank has yet to read.
  std::array<std::atomic<bool>, 2> more;
};

class OverlapRank {
 public:
  OverlapRank(const OverlapConfig& config, runtime::Communicator& communicator, Shared& shared)
      : communicator_(communicator),
        shared_(shared),
        rank_(static_cast<std::size_t>(communicator.rank())),
        exchange_(config.exchange, communicator.rank(), communicator.size()),
        send_(exchange_.KnownValues()),
        recv_(static_cast<std::size_t>(exchange_.recv_floats()), -1.0F),
        attention_(config.attention) {}

  void WarmUp() { Exchange(); }

  std::int64_t Attend() {
    attention_.Start(AttentionThread::Calls::kOne);
    return attention_.Wait().ns();
  }

  /// Runs one exchange before attention begins, and more until attention has ended on every rank.
  std::optional<std::int64_t> AttendWhileExchanging() {
    const std::int64_t begin = runtime::SteadyNs();
    shared_.attending[rank_] = true;
    Exchange();
    communicator_.Barrier();  // before rank 0 reads whether all have ended
    attention_.Start(AttentionThread::Calls::kOne);
    for (std::size_t i = 0;; ++i) {
      Exchange();
      if (attention_.done()) shared_.attending[rank_] = false;
      std::atomic<bool>& more = shared_.more[i % 2];
      if (rank_ == 0) {
        more = std::any_of(shared_.attending.begin(),
                           shared_.attending.end(),
                           [](const std::atomic<bool>& attending) { return attending.load(); });
      }
      communicator_.Barrier();
      if (!more) break;
    }
    const Span exchanging{begin, runtime::SteadyNs()};
    const Span attended = attention_.Wait();
    if (!exchanging.Covers(attended)) return std::nullopt;
    return attended.ns();
  }

  std::int64_t TimedExchange() {
    communicator_.Barrier();
    return ExchangeSpan().ns();
  }

  std::optional<std::int64_t> ExchangeWhileAttending() {
    attention_.Start(AttentionThread::Calls::kUntilStopped);
    attention_.WaitBegun();
    communicator_.Barrier();
    const Span exchanged = ExchangeSpan();
    communicator_.Barrier();
    attention_.Stop();
    if (!attention_.Wait().Covers(exchanged)) return std::nullopt;
    return exchanged.ns();
  }

  void Check() const {
    if (const auto wrong = exchange_.WrongValue(recv_)) {
      throw WrongResult(fmt::format("rank {}: {}", rank_, *wrong));
    }
  }

 private:
  void Exchange() { exchange_.Run(communicator_, send_.data(), recv_.data()); }
  Span ExchangeSpan() {
    Span span{runtime::SteadyNs(), 0};
    Exchange();
    span.end = runtime::SteadyNs();
    return span;
  }

  runtime::Communicator& communicator_;
  Shared& shared_;
  std::size_t rank_;
  ExchangeRank exchange_;
  std::vector<float> send_, recv_;
  AttentionThread attention_;
};

}  // namespace

Measurement MeasureOverlapOnThreads(const OverlapConfig& config,
                                    const MeasureLimits& limits,
                                    const std::function<bool()>& interrupted) {
  if (config.sm_margin != 0) {
    Fail(ErrorCode::kInvalidArgument, "SM margin {}: a CPU has no SMs", config.sm_margin);
  }
  const int ranks = config.exchange.ranks;
  LockstepSampler sampler(ranks, limits, interrupted);
  Shared shared(ranks);
  runtime::RunRanks(ranks, [&](runtime::Communicator& communicator) {
    OverlapRank rank(config, communicator, shared);
    rank.WarmUp();
    const auto sides =
        config.timed == TimedSide::kAttention
            ? LockstepSampler::Sides{[&] { return rank.Attend(); },
                                     [&](int) { return rank.AttendWhileExchanging(); }}
            : LockstepSampler::Sides{[&] { return rank.TimedExchange(); },
                                     [&](int) { return rank.ExchangeWhileAttending(); }};
    sampler.Run(
        communicator.rank(), [&] { communicator.Barrier(); }, sides);
    rank.Check();
  });
  return std::move(sampler).result();
}

}  // namespace dbsp::profiler
