// SPDX-License-Identifier: Apache-2.0
// Measures one kind of work while another kind runs beside it, on all ranks together. Samples of
// the work alone and of the work with the other beside it alternate. A sample is covered when the
// other work ran during the whole sample; one that is not covered is discarded and counted.
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

/// Attempts at one covered sample before the trial fails.
inline constexpr int kMostUncovered = 20;

/// Takes samples of `beside`, each after one of `alone`. Measurement::alone_ns has as many entries
/// as samples_ns. alone     returns nanoseconds of the work alone beside    returns nanoseconds
/// with the other work beside it, or nothing when not covered
/// errors  Error{kMeasurement} after kMostUncovered uncovered attempts in a row; errors of the
///         functions
[[nodiscard]] Measurement MeasureAlternating(
    const MeasureLimits& limits,
    const std::function<std::int64_t()>& alone,
    const std::function<std::optional<std::int64_t>()>& beside,
    const std::function<bool()>& interrupted);

/// The same when the other work must be repeated to cover a sample. The number of repeats, equal on
/// all ranks, is found by doubling before the first sample, so that no sample is lost.
/// beside    as above; runs the other work `repeats` times
[[nodiscard]] Measurement MeasureWithRepeats(
    const MeasureLimits& limits,
    const std::function<std::int64_t()>& alone,
    const std::function<std::optional<std::int64_t>(int repeats)>& beside,
    const std::function<bool()>& interrupted);

/// Takes samples on the ranks of one process together. The slowest rank's time is the sample. Rank
/// 0 decides the next step, and the other ranks follow. threads  one per rank, in Run()
class LockstepSampler {
 public:
  struct Sides {
    /// Runs this rank's part of a sample alone; returns its nanoseconds.
    std::function<std::int64_t()> alone;
    /// The same with the other work beside it, repeated `repeats` times; nothing when not covered
    /// on this rank.
    std::function<std::optional<std::int64_t>(int repeats)> beside;
  };

  LockstepSampler(int ranks, MeasureLimits limits, std::function<bool()> interrupted);

  /// Runs one rank from start to end.
  /// barrier  a barrier of all ranks; its errors end this rank
  void Run(int rank, const std::function<void()>& barrier, const Sides& sides);

  /// requires  Run() has returned on all ranks
  [[nodiscard]] Measurement result() && { return std::move(result_); }

 private:
  enum class Phase : std::uint8_t { kAlone, kBeside, kDone };
  std::optional<std::int64_t> Take(Phase phase,
                                   const std::function<void()>& barrier,
                                   const Sides& sides);
  void Do(int rank, const Sides& sides);

  MeasureLimits limits_;
  std::function<bool()> interrupted_;
  // Rank 0 writes phase_ and repeats_ while the other ranks wait at a barrier. Each rank writes its
  // own entry of took_.
  std::atomic<Phase> phase_{Phase::kDone};
  std::atomic<int> repeats_{1};
  std::vector<std::atomic<std::int64_t>> took_;  ///< [rank] nanoseconds; 0 = not covered
  Measurement result_;
};

}  // namespace dbsp::profiler
