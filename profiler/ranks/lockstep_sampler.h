// SPDX-License-Identifier: Apache-2.0
// How the time of one thing under another is taken, whatever both are: a sample with nothing beside
// it and one under the other thing, by turns, on all ranks together. A sample during which the
// other thing did not run all the time is no sample: it is discarded and counted.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/records.h"
#include "profiler/measure.h"

namespace dbsp::profiler {

/// Tries for one sample before the trial fails.
inline constexpr int kMostUncovered = 20;

/// Samples of `beside`, each after one of `alone`; Measurement::alone_ns has as many.
/// alone     nanoseconds
/// beside    nanoseconds, or nothing when the other side did not run all the time
/// errors    Error{kMeasurement} after kMostUncovered tries in a row for one sample; what the
///           functions throw
[[nodiscard]] Measurement MeasureByTurns(const MeasureLimits& limits,
                                         const std::function<std::int64_t()>& alone,
                                         const std::function<std::optional<std::int64_t>()>& beside,
                                         const std::function<bool()>& interrupted);

/// The same where the other side has to be run again and again: how often, the same on all ranks,
/// is found before the first sample, by doubling, so that it costs none.
/// beside    `repeats` is for how often the other side is to be run
[[nodiscard]] Measurement MeasureByRepeats(
    const MeasureLimits& limits,
    const std::function<std::int64_t()>& alone,
    const std::function<std::optional<std::int64_t>(int repeats)>& beside,
    const std::function<bool()>& interrupted);

/// The ranks of one process that take samples together, the slowest one's time counting. Rank 0
/// decides what is done next, the others follow.
/// threads  one per rank, in Run()
class LockstepSampler {
 public:
  struct Sides {
    /// This rank's part of a sample; nanoseconds of its own.
    std::function<std::int64_t()> alone;
    /// `repeats` is for how often the other side is to be run, the same on all ranks; nothing where
    /// it ended too soon here.
    std::function<std::optional<std::int64_t>(int repeats)> beside;
  };

  LockstepSampler(int ranks, MeasureLimits limits, std::function<bool()> interrupted);

  /// A rank's part from start to end.
  /// barrier  of all ranks; what it throws ends this rank's part
  void Run(int rank, const std::function<void()>& barrier, const Sides& sides);

  /// When all ranks have left.
  [[nodiscard]] Measurement result() && { return std::move(result_); }

 private:
  enum class Turn : std::uint8_t { kAlone, kBeside, kDone };
  std::optional<std::int64_t> Take(Turn turn,
                                   const std::function<void()>& barrier,
                                   const Sides& sides);
  void Do(int rank, const Sides& sides);

  MeasureLimits limits_;
  std::function<bool()> interrupted_;
  // Written by rank 0 while the others wait at a barrier, or by each rank its own.
  std::atomic<Turn> turn_{Turn::kDone};
  std::atomic<int> repeats_{1};
  std::vector<std::atomic<std::int64_t>> took_;  ///< [rank], 0 = not all the time
  Measurement result_;
};

}  // namespace dbsp::profiler
