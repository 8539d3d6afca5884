// SPDX-License-Identifier: Apache-2.0
// Which attention kernel is fastest on which shape: constraints, then a model's order, then the
// first ones measured, then the best of those in turns; the default stays unless another one is
// faster by more than the noise. It knows neither devices nor processes: trials are run by a
// function.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/records.h"
#include "profiler/measure.h"

namespace dbsp::profiler {

/// Candidates that are measured, the default among them, and those that meet in the final.
inline constexpr int kMostMeasured = 16;
inline constexpr int kMostFinalists = 8;
/// A gain below this is no reason to leave the default, however sure it is.
inline constexpr double kLeastGain = 0.01;

/// What there is to choose from.
struct TuneTarget {
  std::vector<KernelVariant> kernels = {};  ///< of a shape's, the first is its default
  int arch = 0;  ///< compute capability, 90 for 9.0; 0 for a CPU
  int sm_count = 1;
  int shared_bytes = 0;  ///< most a thread block may ask for
  /// Why the device does not run a kernel whatever the shape; nothing when it does.
  std::function<std::optional<std::string>(const KernelVariant&)> refused =
      [](const KernelVariant&) { return std::nullopt; };
};
[[nodiscard]] TuneTarget CpuTuneTarget();
[[nodiscard]] TuneTarget GpuTuneTarget(int arch, int sm_count, int shared_bytes);

struct TuneShape {
  AttentionConfig config = {};  ///< kernel: the default
  std::vector<std::string> candidates = {};  ///< by the model, but for the default, which is first
  std::vector<std::pair<std::string, std::string>> excluded = {};  ///< kernel and why
};
/// The shapes of a suite's attention calls, once each, in its order; those that one kernel alone
/// takes are left out. A kernel made for other blocks or another head_dim is none of a shape's and
/// not listed as excluded.
[[nodiscard]] std::vector<TuneShape> ShapesOf(const std::vector<TrialConfig>& suite,
                                              const TuneTarget& target);

/// An order, not a prediction: tiles of work, rounded up to the waves that the device runs them in,
/// at rates whose ratios are published (docs/profiling.md).
[[nodiscard]] double ModelCost(const KernelVariant& kernel,
                               const AttentionConfig& config,
                               const TuneTarget& target);

enum class ChoiceVerdict : std::uint8_t { kDefault, kSwitched, kAmbiguous, kDefaultFailed, kNone };
[[nodiscard]] const char* NameOf(ChoiceVerdict verdict);  ///< "default", "switched", ...

struct KernelChoice {
  AttentionConfig config = {};  ///< kernel: the chosen one; the default with kNone
  std::string default_kernel = {};
  ChoiceVerdict verdict = ChoiceVerdict::kNone;
  std::string fastest = {};  ///< by the medians of the final
  double gain = 0;  ///< of the fastest over the default, part of the default's time
  double noise = 0;  ///< what the gain must be above
  std::vector<Trial> trials = {};  ///< all that were run, those of the final last
};

/// Medians apart by more than twice their standard errors together, and by kLeastGain.
/// finals  trials of the final, at least one
[[nodiscard]] KernelChoice Decide(const TuneShape& shape, const std::vector<Trial>& finals);

struct TuneRun {
  std::function<std::optional<Trial>(const AttentionConfig&, const MeasureLimits&)> run;
  /// A trial of an earlier run that may be used instead; null: there is none.
  std::function<std::optional<Trial>(const AttentionConfig&)> known =
      [](const AttentionConfig&) -> std::optional<Trial> { return std::nullopt; };
  /// Called with every trial that was run as soon as it is finished, those of the final last.
  std::function<void(const Trial&)> keep = [](const Trial&) {};
  std::int64_t budget_ns = 5'000'000'000;  ///< of one shape
};
/// Nothing when interrupted. A candidate that fails is out, wherever it fails.
[[nodiscard]] std::optional<KernelChoice> TuneOneShape(const TuneShape& shape, const TuneRun& run);

/// Trials of finals have a method of their own, "cpu.thread_time.turns": other trials of the same
/// configuration were not taken in turns with others.
inline constexpr const char* kTurnsSuffix = ".turns";
/// The chosen kernel's final trial says so in its detail, which begins with this.
inline constexpr const char* kChosen = "chosen";

}  // namespace dbsp::profiler
