// SPDX-License-Identifier: Apache-2.0
#include "profiler/trial_worker.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <charconv>
#include <cstdlib>
#include <memory>
#include <utility>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "kernels/plugin.h"
#include "profiler/run_trial.h"
#include "runtime/clock.h"
#include "runtime/device.h"
#include "runtime/python_host.h"

namespace dbsp::profiler {
namespace {

constexpr const char* kWorkerVariable = "DBSP_TRIAL_WORKER";  // the connection's file descriptor
constexpr std::int64_t kPollIntervalNs = 50'000'000;
constexpr std::int64_t kSendNs = 5'000'000'000;
/// How long a worker that closed its connection may take to end.
constexpr std::int64_t kUntilEndedNs = 5'000'000'000;
/// How long a worker waits for the next trial. A parent that ends closes the connection.
constexpr std::int64_t kIdleNs = 3'600'000'000'000;

Json ToJson(const MeasureLimits& limits) {
  return {{"warmups", limits.warmups},
          {"min_samples", limits.min_samples},
          {"max_samples", limits.max_samples},
          {"target_spread", limits.target_spread},
          {"budget_ns", limits.budget_ns}};
}

MeasureLimits LimitsFrom(const JsonView& view) {
  MeasureLimits limits;
  limits.warmups = static_cast<int>(view["warmups"].Int(0, 1'000'000));
  limits.min_samples = static_cast<int>(view["min_samples"].Int(1, 1'000'000));
  limits.max_samples = static_cast<int>(view["max_samples"].Int(1, 1'000'000));
  limits.target_spread = view["target_spread"].Number(0);
  limits.budget_ns = view["budget_ns"].Int(0);
  return limits;
}

Json ToJson(int number, const Trial& trial) {
  return {{"trial", number},
          {"outcome", NameOf(trial.outcome)},
          {"detail", trial.detail},
          {"method", trial.method},
          {"stop_reason", trial.stop_reason},
          {"warmups", trial.warmups},
          {"discarded", trial.discarded},
          {"samples_ns", trial.samples_ns},
          {"started_utc", trial.started_utc}};
}

/// errors  Error{kCorruptInput} when the line is no answer, or the answer to another trial
Trial TrialFrom(const std::string& line, int number) {
  const std::string origin = "the worker's answer";
  const Json json = ParseJson(line, origin);
  const JsonView view(json, origin);
  (void)view["trial"].Int(number, number);
  Trial trial;
  trial.outcome = ParseTrialOutcome(view["outcome"].String());
  trial.detail = view["detail"].String();
  trial.method = view["method"].String();
  trial.stop_reason = view["stop_reason"].String();
  trial.warmups = view["warmups"].Int(0);
  trial.discarded = view["discarded"].Int(0);
  for (const JsonView& sample : view["samples_ns"].Items()) {
    trial.samples_ns.push_back(sample.Int(1));
  }
  if (trial.outcome == TrialOutcome::kOk && trial.samples_ns.empty()) {
    view["samples_ns"].Wrong("samples of a successful trial");
  }
  trial.started_utc = view["started_utc"].String();
  return trial;
}

/// The device of the last request, which stays open for the next one.
class Devices {
 public:
  std::shared_ptr<DeviceBench> Bench(const std::string& device) {
    if (device == name_) return bench_;
    bench_.reset();
    const runtime::DeviceSpec spec = runtime::ParseDevice(device);
    if (spec.kind == runtime::DeviceKind::kCuda) {
      bench_ = OpenBench(spec, {.limits = LimitsOf("quick")});
    }
    name_ = device;
    return bench_;
  }

 private:
  std::string name_;
  std::shared_ptr<DeviceBench> bench_;
};

/// The socket whose number the parent gave this process; none when `text` names no open socket.
runtime::FileDescriptor InheritedSocket(const std::string& text) {
  int number = -1;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  struct stat facts {};
  if (error != std::errc() || stop != end || ::fstat(number, &facts) != 0 ||
      !S_ISSOCK(facts.st_mode) || ::fcntl(number, F_SETFD, FD_CLOEXEC) != 0) {
    return {};
  }
  return runtime::FileDescriptor(number);
}

Json Serve(const std::string& line, Devices& devices) {
  const std::string origin = "a trial's request";
  const Json json = ParseJson(line, origin);
  const JsonView request(json, origin);
  const int number = static_cast<int>(request["trial"].Int(0));
  const TrialConfig config = ConfigOf(request["config"].String());
  Trial trial;
  trial.suite = request["suite"].String();
  trial.config = config;
  try {
    std::vector<std::string> plugins;
    for (const JsonView& file : request["plugins"].Items()) plugins.push_back(file.String());
    kernels::UsePlugins(plugins);
    const RunSettings settings{.suite = trial.suite,
                               .limits = LimitsFrom(request["limits"]),
                               .bench = devices.Bench(request["device"].String())};
    return ToJson(number, *RunTrial(config, settings));
  } catch (const Error& error) {
    trial.outcome = TrialOutcome::kUnavailable;
    trial.detail = error.what();
    trial.started_utc = NowUtc();
    return ToJson(number, trial);
  }
}

}  // namespace

void TrialWorker::Start() {
  runtime::LinePair pair = runtime::MakeLinePair();
  process_.emplace(runtime::ChildProcess::Start(
      {.argv = runtime::CommandOfThisProgram(options_.program, "(trial worker)"),
       .variables = {{kWorkerVariable, std::to_string(pair.child.get())}},
       .keep_open = pair.child.get()}));
  channel_ = runtime::LineChannel(std::move(pair.parent));
  ++started_;
}

void TrialWorker::Stop() {
  channel_.Close("ended");
  process_.reset();  // kills and reaps it
}

Trial TrialWorker::WithoutAnswer(const TrialConfig& config,
                                 TrialOutcome outcome,
                                 std::string why) const {
  Trial trial;
  trial.suite = options_.suite;
  trial.config = config;
  trial.outcome = outcome;
  trial.detail = std::move(why);
  trial.started_utc = NowUtc();
  return trial;
}

std::optional<Trial> TrialWorker::Run(const TrialConfig& config,
                                      const MeasureLimits& limits,
                                      const std::function<bool()>& interrupted) {
  if (!process_) Start();
  ++trial_;
  const Json request{{"trial", trial_},
                     {"config", KeyOf(config)},
                     {"suite", options_.suite},
                     {"device", options_.device},
                     {"plugins", options_.plugins},
                     {"limits", ToJson(limits)}};
  const std::int64_t longest = limits.budget_ns + options_.patience_ns;
  const std::int64_t end = runtime::SteadyNs() + longest;
  std::optional<std::string> line;
  if (channel_.Send(DumpJson(request), kSendNs)) {
    while (!(line = channel_.Receive(kPollIntervalNs)) && channel_.problem().empty() &&
           runtime::SteadyNs() < end && !interrupted()) {
    }
  }
  if (interrupted()) {
    Stop();
    return std::nullopt;
  }
  Trial trial;
  if (line) {
    try {
      trial = TrialFrom(*line, trial_);
      trial.suite = options_.suite;
      trial.config = config;
    } catch (const Error& error) {
      trial = WithoutAnswer(
          config, TrialOutcome::kFailed, fmt::format("no valid answer: {}", error.what()));
    }
  } else if (!channel_.problem().empty()) {
    const auto how = process_->WaitFor(kUntilEndedNs);
    trial = WithoutAnswer(
        config,
        TrialOutcome::kFailed,
        "its process " + how.value_or("closed its connection: " + channel_.problem()));
  } else {
    trial = WithoutAnswer(config,
                          TrialOutcome::kTimeout,
                          fmt::format("no answer within {:g} s; its process was ended",
                                      static_cast<double>(longest) * 1e-9));
  }
  if (trial.outcome != TrialOutcome::kOk) Stop();
  return trial;
}

std::optional<int> ServeTrialsIfWorker() {
  const char* text = std::getenv(kWorkerVariable);
  if (text == nullptr) return std::nullopt;
  runtime::FileDescriptor socket = InheritedSocket(text);
  if (!socket) return std::nullopt;
  ::unsetenv(kWorkerVariable);  // programs that this one starts are no workers
  runtime::LineChannel channel{std::move(socket)};
  Devices devices;
  while (const auto line = channel.Receive(kIdleNs)) {
    if (!channel.Send(DumpJson(Serve(*line, devices)), kSendNs)) return 1;
  }
  return 0;
}

}  // namespace dbsp::profiler
