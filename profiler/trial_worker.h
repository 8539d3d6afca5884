// SPDX-License-Identifier: Apache-2.0
// Trials in a process of their own, so that a kernel that crashes, hangs or leaves the device
// broken ends that process and nothing else (docs/design/0015).
//
// One line of JSON each way per trial: {"trial": n, "config": key, "suite", "device", "limits"} and
// {"trial": n, "outcome", ...}. The worker runs it by RunTrial(), as every other run does.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "core/records.h"
#include "profiler/measure.h"
#include "runtime/child_process.h"
#include "runtime/ranks/line_channel.h"

namespace dbsp::profiler {

struct WorkerOptions {
  std::string program = "dbsp-profile";  ///< argv[0], for the system's lists
  std::string suite = "tune";
  std::string device = "cpu";  ///< as --device has it
  /// Past a trial's own budget: a worker that has not answered by then hangs. Starting it and
  /// making the trial's buffers counts.
  std::int64_t patience_ns = 60'000'000'000;
};

/// One worker at a time; it is started with the first trial and again after one that was not ok,
/// because what made it fail may have broken the process or its device for the next.
/// threads  one
class TrialWorker {
 public:
  explicit TrialWorker(WorkerOptions options) : options_(std::move(options)) {}

  /// The finished trial; nothing when interrupted. A worker that dies or answers nonsense makes it
  /// kFailed, one that does not answer kTimeout; both are ended.
  /// errors  Error{kUnavailable} when no process can be started
  [[nodiscard]] std::optional<Trial> Run(const TrialConfig& config,
                                         const MeasureLimits& limits,
                                         const std::function<bool()>& interrupted);
  /// Processes started so far.
  [[nodiscard]] int started() const { return started_; }

 private:
  void Start();
  void Stop();
  [[nodiscard]] Trial Lost(const TrialConfig& config, TrialOutcome outcome, std::string why) const;

  WorkerOptions options_;
  std::optional<runtime::ChildProcess> process_;
  runtime::LineChannel channel_;
  int started_ = 0;
  int trial_ = 0;
};

/// The worker's end: serves trials until its parent closes the connection. Nothing in a process
/// that was not started as a worker. returns the exit code
[[nodiscard]] std::optional<int> ServeTrialsIfWorker();

}  // namespace dbsp::profiler
