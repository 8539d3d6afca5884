// SPDX-License-Identifier: Apache-2.0
#include "profiler/tune_kernels.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/error.h"
#include "core/file.h"
#include "core/statistics.h"
#include "kernels/attention.h"
#include "kernels/gpu/check_call.h"
#include "kernels/gpu/gpu_variants.h"
#include "profiler/gpu/device_measure.h"
#include "profiler/suites/kernel_table.h"
#include "runtime/clock.h"

namespace dbsp::profiler {
namespace {

/// Limits of one sample of the final, which is a short trial so that the finalists alternate
/// quickly.
constexpr MeasureLimits kFinalSample{
    .warmups = 1, .min_samples = 1, .max_samples = 3, .budget_ns = 20'000'000};
constexpr int kFewestFinalSamples = 5;
constexpr int kMostFinalSamples = 25;
/// Least time of a final, also when candidates that hang have used up the shape's time.
constexpr std::int64_t kLeastFinalNs = 2'000'000'000;
/// Part of a shape's time that is spent on finding the finalists.
constexpr double kScreeningPart = 0.5;

/// Thrown when a finalist fails.
struct FinalistLost {
  Trial trial;
};
/// Thrown when the user interrupts.
struct Interrupt {};

const KernelVariant& Named(const TuneTarget& target, const std::string& name) {
  for (const KernelVariant& kernel : target.kernels) {
    if (kernel.name == name) return kernel;
  }
  Fail(ErrorCode::kInternal, "kernel {} is not in the table of its device", name);
}

TuneShape ShapeOf(const AttentionConfig& config, const TuneTarget& target) {
  TuneShape shape{.config = config};
  for (const KernelVariant& kernel : target.kernels) {
    if (!Fits(kernel, config.head_dim, config.block)) continue;
    if (const auto why = target.refused(kernel)) {
      shape.excluded.emplace_back(kernel.name, *why);
    } else {
      shape.candidates.push_back(kernel.name);
    }
  }
  if (shape.candidates.empty()) return shape;
  // As in suites, the default for lists of single keys is a kernel for such lists.
  std::ranges::stable_partition(shape.candidates, [&](const std::string& name) {
    return config.block.k == 1 && Named(target, name).list == "keys";
  });
  shape.config.kernel = shape.candidates.front();
  std::stable_sort(shape.candidates.begin() + 1,
                   shape.candidates.end(),
                   [&](const std::string& a, const std::string& b) {
                     return ModelCost(Named(target, a), config, target) <
                            ModelCost(Named(target, b), config, target);
                   });
  while (shape.candidates.size() > kMostMeasured) {
    shape.excluded.emplace_back(
        shape.candidates.back(),
        fmt::format("not among the first {} of the model's order", kMostMeasured));
    shape.candidates.pop_back();
  }
  return shape;
}

AttentionConfig With(AttentionConfig config, const std::string& kernel) {
  config.kernel = kernel;
  return config;
}

/// Measures the finalists in turn. A finalist that fails is removed, and the others start again.
std::vector<Trial> Final(const TuneShape& shape,
                         std::vector<Trial> finalists,
                         const TuneRun& run,
                         std::int64_t budget_ns,
                         std::vector<Trial>& lost) {
  DeviceLimits limits;
  limits.min_time_ns = 0;
  limits.min_samples = kFewestFinalSamples;
  limits.max_samples = kMostFinalSamples;
  limits.budget_ns = budget_ns;
  while (!finalists.empty()) {
    std::vector<DeviceCandidate> candidates;
    for (const Trial& finalist : finalists) {
      const std::string kernel = std::get<AttentionConfig>(finalist.config).kernel;
      candidates.push_back({kernel, [&run, config = With(shape.config, kernel)] {
                              const auto trial = run.run(config, kFinalSample);
                              if (!trial) throw Interrupt{};
                              if (trial->outcome != TrialOutcome::kOk) throw FinalistLost{*trial};
                              return DeviceReading{Median(trial->samples_ns), std::nullopt};
                            }});
    }
    try {
      const auto measured = MeasureInTurns(limits, candidates, runtime::SteadyNs);
      for (std::size_t i = 0; i < finalists.size(); ++i) {
        Trial& trial = finalists[i];
        trial.samples_ns.clear();
        for (const double ns : measured[i].samples_ns) {
          trial.samples_ns.push_back(std::max<std::int64_t>(std::llround(ns), 1));
        }
        trial.method += kFinalSuffix;
        trial.stop_reason = measured[i].stop_reason;
        trial.detail = fmt::format("in turns with {} others; each sample is the median of a trial",
                                   finalists.size() - 1);
        trial.warmups = trial.discarded = 0;
        trial.started_utc = NowUtc();
      }
      return finalists;
    } catch (const FinalistLost& lost_one) {
      run.keep(lost_one.trial);
      lost.push_back(lost_one.trial);
      std::erase_if(finalists, [&](const Trial& trial) {
        return KeyOf(trial.config) == KeyOf(lost_one.trial.config);
      });
    }
  }
  return finalists;
}

/// Text of a choice. The database's views parse it (db/migrations.h).
std::string ChoiceText(const KernelChoice& choice) {
  const std::string numbers =
      fmt::format("{:.1f}% against noise of {:.1f}%", 100 * choice.gain, 100 * choice.noise);
  switch (choice.verdict) {
    case ChoiceVerdict::kDefault:
      return fmt::format("{}: the default, and the fastest", kChosen);
    case ChoiceVerdict::kSwitched:
      return fmt::format("{} over {}: {}", kChosen, choice.default_kernel, numbers);
    case ChoiceVerdict::kAmbiguous:
      return fmt::format("{}: the default; {} is faster by {}", kChosen, choice.fastest, numbers);
    case ChoiceVerdict::kDefaultFailed:
      return fmt::format("{}: {} does not work here", kChosen, choice.default_kernel);
    case ChoiceVerdict::kNone:
      break;
  }
  return "";
}

}  // namespace

TuneTarget CpuTuneTarget() {
  TuneTarget target;
  for (const kernels::AttentionVariant& variant : kernels::CpuAttentionVariants()) {
    target.kernels.push_back(RecordOf(variant));
  }
  return target;
}

TuneTarget GpuTuneTarget(int arch, int sm_count, int shared_bytes) {
  TuneTarget target{.arch = arch, .sm_count = sm_count, .shared_bytes = shared_bytes};
  for (const kernels::gpu::Variant& variant : kernels::gpu::Variants()) {
    target.kernels.push_back(RecordOf(variant));
  }
  target.refused = [arch, shared_bytes](const KernelVariant& kernel) -> std::optional<std::string> {
    if (auto reason = kernels::gpu::WhyNotOn(kernels::gpu::VariantNamed(kernel.name), arch)) {
      return reason;
    }
    if (kernel.shared_bytes.value_or(0) > shared_bytes) {
      return fmt::format("needs {} bytes of shared memory, but a block may use {}",
                         *kernel.shared_bytes,
                         shared_bytes);
    }
    return std::nullopt;
  };
  return target;
}

std::vector<TuneShape> ShapesOf(const std::vector<TrialConfig>& suite, const TuneTarget& target) {
  std::vector<TuneShape> shapes;
  std::set<std::string> seen;
  for (const TrialConfig& config : suite) {
    const auto* attention = std::get_if<AttentionConfig>(&config);
    if (attention == nullptr || !seen.insert(KeyOf(With(*attention, ""))).second) continue;
    TuneShape shape = ShapeOf(*attention, target);
    if (shape.candidates.size() + shape.excluded.size() > 1 && !shape.candidates.empty()) {
      shapes.push_back(std::move(shape));
    }
  }
  return shapes;
}

double ModelCost(const KernelVariant& kernel,
                 const AttentionConfig& config,
                 const TuneTarget& target) {
  if (target.arch == 0) return 0;  // the CPU's table is already in order
  // FlashAttention-3 is 1.5 to 2.0 times as fast as FlashAttention-2 on an H100 (arXiv 2407.08608,
  // abstract): wgmma against mma.sync. MagiAttention's gathered keys run at 0.8 of whole blocks.
  const double rate = (kernel.arch.value_or(80) >= 90 ? 1.75 : 1.0) *
                      (kernel.list.value_or("blocks") == "keys" ? 0.8 : 1.0);
  const int tile_m = std::max(kernel.tile_m.value_or(config.block.q), 1);
  const int tile_n = std::max(kernel.tile_n.value_or(config.block.k), 1);
  const double tiles_per_row = std::ceil(static_cast<double>(config.block.q) / tile_m);
  const double tiles = static_cast<double>(config.active_rows) * tiles_per_row;
  const double keys = static_cast<double>(config.active_blocks) /
                      std::max<double>(static_cast<double>(config.active_rows), 1) * config.block.k;
  const int shared = std::max(kernel.shared_bytes.value_or(1), 1);
  const double together =
      std::max(1, target.shared_bytes / shared) * static_cast<double>(target.sm_count);
  const double waves = std::ceil(tiles / together);
  const double steps = std::ceil(keys / tile_n);
  // The tiles on one SM share its tensor cores, so a wave takes the sum of their times.
  const double per_wave = std::max(1, target.shared_bytes / shared) * steps * tile_m * tile_n;
  return waves * per_wave * config.head_dim / rate;
}

const char* NameOf(ChoiceVerdict verdict) {
  switch (verdict) {
    case ChoiceVerdict::kDefault:
      return "default";
    case ChoiceVerdict::kSwitched:
      return "switched";
    case ChoiceVerdict::kAmbiguous:
      return "ambiguous";
    case ChoiceVerdict::kDefaultFailed:
      return "default failed";
    case ChoiceVerdict::kNone:
      return "none works";
  }
  return "";
}

KernelChoice Decide(const TuneShape& shape, const std::vector<Trial>& finals) {
  KernelChoice choice{.config = shape.config, .default_kernel = shape.config.kernel};
  if (finals.empty()) return choice;
  const auto& best =
      *std::min_element(finals.begin(), finals.end(), [](const Trial& a, const Trial& b) {
        return Median(a.samples_ns) < Median(b.samples_ns);
      });
  const auto usual = std::find_if(finals.begin(), finals.end(), [&](const Trial& trial) {
    return std::get<AttentionConfig>(trial.config).kernel == choice.default_kernel;
  });
  choice.fastest = std::get<AttentionConfig>(best.config).kernel;
  if (usual == finals.end()) {
    choice.verdict = ChoiceVerdict::kDefaultFailed;
  } else if (choice.fastest == choice.default_kernel) {
    choice.verdict = ChoiceVerdict::kDefault;
  } else {
    choice.gain = 1 - Median(best.samples_ns) / Median(usual->samples_ns);
    choice.noise = std::max(kLeastGain,
                            2 * std::hypot(RelativeMedianError(best.samples_ns),
                                           RelativeMedianError(usual->samples_ns)));
    choice.verdict =
        choice.gain > choice.noise ? ChoiceVerdict::kSwitched : ChoiceVerdict::kAmbiguous;
  }
  const bool leaves =
      choice.verdict == ChoiceVerdict::kSwitched || choice.verdict == ChoiceVerdict::kDefaultFailed;
  if (leaves) choice.config.kernel = choice.fastest;
  return choice;
}

std::optional<KernelChoice> TuneOneShape(const TuneShape& shape, const TuneRun& run) {
  const std::int64_t begin = runtime::SteadyNs();
  std::vector<Trial> all;
  std::vector<Trial> works;
  MeasureLimits limits;
  limits.budget_ns = static_cast<std::int64_t>(kScreeningPart * static_cast<double>(run.budget_ns) /
                                               static_cast<double>(shape.candidates.size()));
  for (const std::string& kernel : shape.candidates) {
    const AttentionConfig config = With(shape.config, kernel);
    std::optional<Trial> trial = run.known(config);
    if (!trial) {
      trial = run.run(config, limits);
      if (!trial) return std::nullopt;
      run.keep(*trial);
      all.push_back(*trial);
    }
    if (trial->outcome == TrialOutcome::kOk) works.push_back(std::move(*trial));
  }
  // The default is always in the final, because every other kernel is compared with it.
  std::stable_sort(works.begin(), works.end(), [&](const Trial& a, const Trial& b) {
    const auto usual = [&](const Trial& trial) {
      return std::get<AttentionConfig>(trial.config).kernel == shape.config.kernel;
    };
    return usual(a) != usual(b) ? usual(a) : Median(a.samples_ns) < Median(b.samples_ns);
  });
  if (works.size() > kMostFinalists) works.resize(kMostFinalists);
  std::vector<Trial> finals;
  try {
    const std::int64_t left = run.budget_ns - (runtime::SteadyNs() - begin);
    finals = Final(shape, std::move(works), run, std::max(left, kLeastFinalNs), all);
  } catch (const Interrupt&) {
    return std::nullopt;
  }
  KernelChoice choice = Decide(shape, finals);
  for (Trial& trial : finals) {
    if (KeyOf(trial.config) == KeyOf(choice.config)) {
      trial.detail = ChoiceText(choice) + "; " + trial.detail;
    }
    run.keep(trial);
    all.push_back(std::move(trial));
  }
  choice.trials = std::move(all);
  return choice;
}

}  // namespace dbsp::profiler
