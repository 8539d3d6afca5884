// SPDX-License-Identifier: Apache-2.0
// Runs trials in a worker process, so that a kernel that crashes, hangs or breaks the device ends
// only the worker (docs/design/0015).
//
// Each trial is one line of JSON to the worker, {"trial": n, "config": key, "suite", "device",
// "plugins", "limits"}, and one back, {"trial": n, "outcome", ...}. The worker calls RunTrial().
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/records.h"
#include "profiler/measure.h"
#include "runtime/child_process.h"
#include "runtime/ranks/line_channel.h"

namespace dbsp::profiler {

struct WorkerOptions {
  std::string program = "dbsp-profile";  ///< argv[0], which ps shows
  std::string suite = "tune";
  std::string device = "cpu";  ///< as in --device
  /// Time after a trial's budget until the worker counts as hanging. It must cover the start of the
  /// worker and the allocation of the trial's buffers.
  std::int64_t patience_ns = 60'000'000'000;
  std::vector<std::string> plugins = {};  ///< files whose kernels trials may run
};

/// Starts the worker with the first trial, and a new one after every trial that is not ok, because
/// the failure may have broken the process or the device. threads  one
class TrialWorker {
 public:
  explicit TrialWorker(WorkerOptions options) : options_(std::move(options)) {}

  /// Runs a trial; returns nothing when interrupted. The outcome is kFailed when the worker ends or
  /// answers nonsense, and kTimeout when it does not answer.
  /// errors  Error{kUnavailable} when the system cannot start a process
  [[nodiscard]] std::optional<Trial> Run(const TrialConfig& config,
                                         const MeasureLimits& limits,
                                         const std::function<bool()>& interrupted);
  /// Number of processes started so far.
  [[nodiscard]] int started() const { return started_; }

 private:
  void Start();
  void Stop();
  [[nodiscard]] Trial WithoutAnswer(const TrialConfig& config,
                                    TrialOutcome outcome,
                                    std::string why) const;

  WorkerOptions options_;
  std::optional<runtime::ChildProcess> process_;
  runtime::LineChannel channel_;
  int started_ = 0;
  int trial_ = 0;
};

/// In a worker process: runs trials until the parent closes the connection, and returns the exit
/// code. In any other process: returns nothing.
[[nodiscard]] std::optional<int> ServeTrialsIfWorker();

}  // namespace dbsp::profiler
