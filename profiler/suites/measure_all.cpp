// SPDX-License-Identifier: Apache-2.0
#include "profiler/suites/measure_all.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string>

#include "core/cli.h"
#include "core/error.h"
#include "core/file.h"
#include "core/plugin_facts.h"
#include "core/stop_signals.h"
#include "profiler/ranks/profile_ranks.h"
#include "profiler/suites/suite.h"
#include "runtime/clock.h"

namespace dbsp::profiler {
namespace {

/// Stores the record of the kernel that a trial ran, once per run. Does nothing for trials without
/// a kernel and for unknown names.
void StoreKernel(const TrialConfig& config,
                 const std::vector<KernelVariant>& kernels,
                 std::set<std::string>& stored,
                 db::Database& database) {
  const auto* overlap = std::get_if<OverlapConfig>(&config);
  const auto* attention =
      overlap != nullptr ? &overlap->attention : std::get_if<AttentionConfig>(&config);
  if (attention == nullptr || !stored.insert(attention->kernel).second) return;
  const auto kernel = std::find_if(kernels.begin(), kernels.end(), [&](const KernelVariant& k) {
    return k.name == attention->kernel;
  });
  if (kernel != kernels.end()) database.AddKernel(*kernel);
}

/// Counters of a measured attention trial, if requested. A failure is only reported on stderr,
/// because the trial's times are valid.
std::optional<CounterRecord> CountersOf(const Trial& trial, const RunSettings& settings) {
  const auto* attention = std::get_if<AttentionConfig>(&trial.config);
  const bool wanted = settings.bench && settings.bench->counters();
  if (attention == nullptr || trial.outcome != TrialOutcome::kOk || !wanted) {
    return std::nullopt;
  }
  try {
    return settings.bench->Count(*attention);
  } catch (const Error& error) {
    Progress(fmt::format("no counters: {}", error.what()));
    return std::nullopt;
  }
}

/// Trials of plugins' kernels.
class PluginTrials {
 public:
  explicit PluginTrials(TrialWorker& worker) : worker_(worker) {}

  /// Name of the plugin's kernel that a trial runs; nothing for other trials. Overlaps run in this
  /// process, because both sides share its clock.
  using Kernel = std::optional<std::string>;
  [[nodiscard]] static Kernel KernelOf(const TrialConfig& config) {
    const auto* attention = std::get_if<AttentionConfig>(&config);
    if (attention == nullptr || PluginNameOf(attention->kernel).empty()) return {};
    return attention->kernel;
  }

  /// Nothing when interrupted.
  std::optional<Trial> Run(const TrialConfig& config,
                           const std::string& kernel,
                           const RunSettings& settings) {
    if (hung_.contains(kernel)) {
      Trial trial;
      trial.suite = settings.suite;
      trial.config = config;
      trial.outcome = TrialOutcome::kFailed;
      trial.detail = "not run: the kernel gave no answer in an earlier trial";
      trial.started_utc = NowUtc();
      return trial;
    }
    std::optional<Trial> trial = worker_.Run(config, settings.limits, settings.interrupted);
    if (trial && trial->outcome == TrialOutcome::kTimeout) hung_.insert(kernel);
    return trial;
  }

 private:
  TrialWorker& worker_;
  std::set<std::string> hung_;
};

}  // namespace

void MeasureAll(RunSettings settings,
                const Provenance& machine,
                const std::vector<KernelVariant>& kernels,
                db::Database& database,
                std::int64_t budget_ns,
                TrialWorker& worker,
                std::vector<Result>& results) {
  settings.limits.deadline_ns = runtime::SteadyNs() + budget_ns;
  settings.interrupted = [nccl = settings.nccl] { return InterruptedAnywhere(nccl.get()); };
  const std::int64_t most_ns = settings.limits.budget_ns;
  const int total = Count(results, ResultStatus::kToMeasure);
  int left = total;
  std::set<std::string> stored;
  PluginTrials plugins(worker);
  std::optional<std::int64_t> environment;
  for (Result& result : results) {
    if (result.status != ResultStatus::kToMeasure) continue;
    const std::int64_t remaining = settings.limits.deadline_ns - runtime::SteadyNs();
    result.status = ResultStatus::kLeftOut;
    if (remaining <= 0 || settings.interrupted() || LostRank(settings.nccl.get())) continue;
    settings.limits.budget_ns = std::min(most_ns, 2 * remaining / left--);
    const PluginTrials::Kernel kernel = plugins.KernelOf(result.config);
    result.trial =
        kernel ? plugins.Run(result.config, *kernel, settings) : RunTrial(result.config, settings);
    if (!result.trial) continue;
    if (!environment) environment = database.AddEnvironment(machine);
    StoreKernel(result.config, kernels, stored, database);
    database.AddTrial(*environment, *result.trial, CountersOf(*result.trial, settings));
    result.status = result.trial->outcome == TrialOutcome::kOk ? ResultStatus::kMeasured
                                                               : ResultStatus::kFailed;
    Progress(fmt::format("[{}/{}] {}", total - left, total, Describe(result.config)));
  }
}

}  // namespace dbsp::profiler
