// SPDX-License-Identifier: Apache-2.0
#include "profiler/ranks/lockstep_sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "runtime/clock.h"

namespace dbsp::profiler {
namespace {

/// Enough for exchanges of 20 us beside attention of a third of a second.
constexpr int kMostRepeats = 1 << 14;

}  // namespace

Measurement MeasureAlternating(const MeasureLimits& limits,
                               const std::function<std::int64_t()>& alone,
                               const std::function<std::optional<std::int64_t>()>& beside,
                               const std::function<bool()>& interrupted) {
  std::vector<std::int64_t> alone_ns;
  std::int64_t uncovered = 0;
  const auto pair = [&] {
    const std::int64_t before = alone();
    for (int tries = 1;; ++tries) {
      if (const auto ns = beside()) {
        alone_ns.push_back(std::max<std::int64_t>(before, 1));
        return Reading{*ns};
      }
      ++uncovered;
      if (tries < kMostUncovered) continue;
      Fail(ErrorCode::kMeasurement,
           "in {} attempts the work beside the sample never ran from before its start until after "
           "its end",
           kMostUncovered);
    }
  };
  Measurement measured = Measure(limits, pair, runtime::SteadyNs, interrupted);
  // alone_ns begins with the warm-ups, which samples_ns does not have.
  const auto kept = static_cast<std::ptrdiff_t>(measured.samples_ns.size());
  measured.alone_ns.assign(alone_ns.end() - kept, alone_ns.end());
  measured.discarded += uncovered;
  if (uncovered > 0) {
    if (!measured.detail.empty()) measured.detail += "; ";
    measured.detail +=
        fmt::format("{} samples discarded: the work beside them ended first", uncovered);
  }
  return measured;
}

Measurement MeasureWithRepeats(
    const MeasureLimits& limits,
    const std::function<std::int64_t()>& alone,
    const std::function<std::optional<std::int64_t>(int repeats)>& beside,
    const std::function<bool()>& interrupted) {
  int repeats = 1;
  const auto more = [&] { repeats = std::min(2 * repeats, kMostRepeats); };
  while (!interrupted() && repeats < kMostRepeats && !beside(repeats)) more();
  more();
  const auto enough = [&] {
    const auto ns = beside(repeats);
    if (!ns) more();
    return ns;
  };
  return MeasureAlternating(limits, alone, enough, interrupted);
}

LockstepSampler::LockstepSampler(int ranks, MeasureLimits limits, std::function<bool()> interrupted)
    : limits_(limits),
      interrupted_(std::move(interrupted)),
      took_(static_cast<std::size_t>(ranks)) {}

void LockstepSampler::Do(int rank, const Sides& sides) {
  const auto ns = phase_ == Phase::kAlone ? sides.alone() : sides.beside(repeats_);
  took_[rank] = ns ? std::max<std::int64_t>(*ns, 1) : 0;
}

std::optional<std::int64_t> LockstepSampler::Take(Phase phase,
                                                  const std::function<void()>& barrier,
                                                  const Sides& sides) {
  phase_ = phase;
  barrier();
  Do(0, sides);
  barrier();
  std::int64_t slowest = 0;
  for (const auto& took : took_) {
    if (took == 0) return std::nullopt;
    slowest = std::max<std::int64_t>(slowest, took);
  }
  return slowest;
}

void LockstepSampler::Run(int rank, const std::function<void()>& barrier, const Sides& sides) {
  if (rank != 0) {
    for (barrier(); phase_ != Phase::kDone; barrier()) {
      Do(rank, sides);
      barrier();
    }
    return;
  }
  result_ = MeasureWithRepeats(
      limits_,
      [&] { return Take(Phase::kAlone, barrier, sides).value(); },
      [&](int repeats) {
        repeats_ = repeats;
        return Take(Phase::kBeside, barrier, sides);
      },
      interrupted_);
  phase_ = Phase::kDone;
  barrier();
}

}  // namespace dbsp::profiler
