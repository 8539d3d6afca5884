// SPDX-License-Identifier: Apache-2.0
// Chooses the fastest attention kernel for a shape. Kernels that the device cannot run are
// excluded, the rest is ordered by a model, the first of that order are measured, and the best of
// these are measured again in turn (the final). The default stays unless another kernel is faster
// by more than the noise. Devices and processes are unknown here: a function runs the trials.
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

/// Most candidates that are measured, and most finalists; both include the default.
inline constexpr int kMostMeasured = 16;
inline constexpr int kMostFinalists = 8;
/// A smaller gain never replaces the default, even if it is above the noise.
inline constexpr double kLeastGain = 0.01;

/// The kernels to choose from, and the device.
struct TuneTarget {
  /// The first that fits a shape is its default; with blocks of one key the first for lists of
  /// keys.
  std::vector<KernelVariant> kernels = {};
  int arch = 0;  ///< compute capability, 90 for 9.0; 0 for a CPU
  int sm_count = 1;
  int shared_bytes = 0;  ///< most shared memory of a thread block
  /// Returns the reason why the device cannot run a kernel, or nothing if it can.
  std::function<std::optional<std::string>(const KernelVariant&)> refused =
      [](const KernelVariant&) { return std::nullopt; };
};
[[nodiscard]] TuneTarget CpuTuneTarget();
[[nodiscard]] TuneTarget GpuTuneTarget(int arch, int sm_count, int shared_bytes);

struct TuneShape {
  AttentionConfig config = {};  ///< its kernel is the default
  std::vector<std::string> candidates = {};  ///< the default first, then in the model's order
  std::vector<std::pair<std::string, std::string>> excluded = {};  ///< kernel, reason
};
/// The distinct shapes of a suite's attention calls, in the suite's order, without shapes that only
/// one kernel takes. Kernels for other blocks or another head_dim are neither candidates nor listed
/// as excluded.
[[nodiscard]] std::vector<TuneShape> ShapesOf(const std::vector<TrialConfig>& suite,
                                              const TuneTarget& target);

/// Relative cost, which only orders kernels: tiles of work, rounded up to whole waves of the
/// device, at published ratios of rates (docs/profiling.md).
[[nodiscard]] double ModelCost(const KernelVariant& kernel,
                               const AttentionConfig& config,
                               const TuneTarget& target);

enum class ChoiceVerdict : std::uint8_t { kDefault, kSwitched, kAmbiguous, kDefaultFailed, kNone };
[[nodiscard]] const char* NameOf(ChoiceVerdict verdict);  ///< "default", "switched", ...

struct KernelChoice {
  AttentionConfig config = {};  ///< its kernel is the chosen one; the default with kNone
  std::string default_kernel = {};
  ChoiceVerdict verdict = ChoiceVerdict::kNone;
  std::string fastest = {};  ///< smallest median in the final
  double gain = 0;  ///< time saved by the fastest, as a part of the default's time
  double noise = 0;  ///< the gain must be larger than this
  std::vector<Trial> trials = {};  ///< of this run; those of the final are last
};

/// Replaces the default when the medians differ by more than twice their combined standard error,
/// and by more than kLeastGain.
/// finals  trials of the final; empty when no kernel works
[[nodiscard]] KernelChoice Decide(const TuneShape& shape, const std::vector<Trial>& finals);

struct TuneRun {
  std::function<std::optional<Trial>(const AttentionConfig&, const MeasureLimits&)> run;
  /// A finished trial of an earlier run to use instead; nothing when there is none.
  std::function<std::optional<Trial>(const AttentionConfig&)> known =
      [](const AttentionConfig&) -> std::optional<Trial> { return std::nullopt; };
  /// Called with every new trial as soon as it has finished.
  std::function<void(const Trial&)> keep = [](const Trial&) {};
  std::int64_t budget_ns = 5'000'000'000;  ///< for one shape
};
/// Chooses a kernel for one shape; nothing when interrupted. A candidate that fails is removed.
[[nodiscard]] std::optional<KernelChoice> TuneOneShape(const TuneShape& shape, const TuneRun& run);

/// Suffix of the method of final trials, "cpu.thread_time.turns", because other trials of the same
/// configuration were not measured in turn with other kernels.
inline constexpr const char* kFinalSuffix = ".turns";
/// The detail of the chosen kernel's final trial begins with this word.
inline constexpr const char* kChosen = "chosen";

}  // namespace dbsp::profiler
