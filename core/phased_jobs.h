// SPDX-License-Identifier: Apache-2.0
// Jobs whose tasks run on several threads, so that few large jobs keep as many threads busy as many
// small ones.
#pragma once

#include <functional>
#include <memory>
#include <optional>

namespace dbsp {

/// Work in phases. The tasks of a phase are independent of each other.
class PhasedJob {
 public:
  virtual ~PhasedJob() = default;
  /// Prepares a phase and returns its number of tasks, which may be 0. Nothing after the last
  /// phase. Called once per phase, from 0, after every task of the phase before has ended.
  virtual std::optional<int> Begin(int phase) = 0;
  /// threads  concurrently with other tasks of the phase
  virtual void Run(int phase, int task) = 0;
};

/// Runs the jobs make(0), ..., make(count - 1) on up to ThreadCount(threads) threads, the calling
/// one included. A thread works on the job that it made. It then makes the next job or, where none
/// is left to make, takes tasks of other threads' jobs. At most one job per thread exists at a
/// time. `make` may return null if there is nothing to do. Several threads call it at once. The
/// first exception of a job is rethrown after all threads have ended; no further task starts after
/// it.
void RunJobs(int count, int threads, const std::function<std::unique_ptr<PhasedJob>(int)>& make);

}  // namespace dbsp
