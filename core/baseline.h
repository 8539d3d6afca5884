// SPDX-License-Identifier: Apache-2.0
// The one definition of a baseline and of a gain over it. dbsp-tune, dbsp-replay and the page use
// it; docs/metrics.md states it.
//
// A baseline of a plan is plain ulysses or plain ring with the workload, the ranks and the costs of
// the plan: every cell has the same strategy, on all ranks, one guidance pass after the other,
// tokens in the given order, in one chunk. Where no such baseline exists there is no gain.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/plan.h"
#include "core/strategy.h"

namespace dbsp {

inline constexpr std::array<Family, 2> kBaselineFamilies{Family::kUlysses, Family::kRing};

/// What makes two predicted times comparable: their costs have the same source.
struct CostsIdentity {
  CostSource source = CostSource::kAnalytic;
  std::string cluster;
  std::string database_hash;
  bool operator==(const CostsIdentity&) const = default;
};
[[nodiscard]] CostsIdentity CostsOf(const Plan& plan);
/// "fitted costs of measurements 0011223344556677", "analytic costs of h200x8"
[[nodiscard]] std::string NameOf(const CostsIdentity& costs);

/// Plain ulysses or plain ring on all ranks, with the default kernel.
/// requires family is one of kBaselineFamilies
[[nodiscard]] Strategy BaselineStrategy(Family family, int ranks);

/// Whether a strategy is that baseline, whatever its kernel. A usp strategy of the same degrees is
/// the same strategy under another name.
[[nodiscard]] bool IsBaseline(const Strategy& strategy, Family family, int ranks);

/// Whether `other` is a plan of that baseline of `plan`: the same workload, ranks and costs, and
/// IsBaseline() in every cell.
[[nodiscard]] bool IsBaselinePlan(const Plan& other, const Plan& plan, Family family);

enum class GainVerdict : std::uint8_t { kFaster, kSlower, kSame, kAmbiguous };
[[nodiscard]] const char* NameOf(GainVerdict verdict);  ///< "faster", ...

/// A gain this close to 1 is none: predictions are not more accurate.
inline constexpr double kNoGain = 0.02;

/// A baseline's time over the plan's.
struct Gain {
  double baseline_ns = 0;
  double plan_ns = 0;
  double gain = 1;
  /// Interval that holds the gain with a chance of 90%; empty for replayed gains, of which one run
  /// each is known.
  std::optional<double> low;
  std::optional<double> high;
  /// Chance that the order of the two is the other one; empty without an interval, and where both
  /// run the same operations.
  std::optional<double> flip_chance;
  /// same       |gain - 1| < kNoGain
  /// faster     gain and interval are above 1
  /// slower     gain and interval are below 1
  /// ambiguous  the interval contains 1, and the gain is not "same"
  GainVerdict verdict = GainVerdict::kSame;
};

/// The verdict on gain, low and high.
[[nodiscard]] GainVerdict VerdictOf(const Gain& gain);

/// Half width of the 90% interval of a normal distribution, in standard deviations.
inline constexpr double kNinety = 1.645;

/// The rule of VerdictOf() in words, for tools that print verdicts.
inline constexpr const char* kVerdictRule =
    "SAME: the times differ by less than 2%; FASTER or SLOWER: they differ by 2% or more and the "
    "90% interval of the ratio does not contain 1; AMBIGUOUS: it contains 1";

/// Gain of `other_ns` over `baseline_ns`, two times that are independent of each other.
/// relative_error  standard error of their ratio; infinite where the spread is not known
/// requires        times above 0, relative_error >= 0
[[nodiscard]] Gain GainWithin(double baseline_ns, double other_ns, double relative_error);

/// Sums predicted times of a plan and of a baseline over cells, and gives the gain with its
/// interval. Both are priced with the same costs and share the errors of rates, so only the
/// differences are uncertain: shared errors make the difference of the totals uncertain by
///   u = h (|difference of compute| + |difference of exchange|),
/// h = the larger relative half width of the totals, as in the tuner's rule for close calls. The
/// fitted model errs for either strategy by itself, too: by `model_error` of its compute, typically
/// (median), in cells whose operations differ. Errors of cells are taken as equal, which is
/// cautious.
class GainSum {
 public:
  /// Adds `times` passes of a cell, each side with its own number.
  void Add(const BaselineTime& plan,
           double plan_times,
           const BaselineTime& base,
           double base_times);
  /// requires model_error >= 0
  [[nodiscard]] Gain Result(double model_error) const;

 private:
  struct Sums {
    double total = 0, low = 0, high = 0, compute = 0, exchange = 0;
    void Add(const BaselineTime& time, double times);
    [[nodiscard]] double HalfWidth() const;
  };
  Sums plan_;
  Sums base_;
  double plan_compute_apart_ = 0;  ///< compute in cells whose operations differ
  double base_compute_apart_ = 0;
  bool differ_ = false;
};

/// Gain of replayed times, or of any times without an interval. requires plan_ns > 0
[[nodiscard]] Gain PlainGain(double baseline_ns, double plan_ns);

/// The times of a prediction that a gain needs.
[[nodiscard]] BaselineTime TimeOf(const Prediction& prediction);

/// Median held-out error of the attention fits of these kernels, the largest one. "" stands for
/// every kernel. Empty without such a fit (analytic costs, plans of older versions).
[[nodiscard]] std::optional<double> ModelErrorOf(const std::vector<CostFit>& fits,
                                                 const std::set<std::string>& kernels);
[[nodiscard]] std::optional<double> ModelErrorOf(const Plan& plan);

/// The plan's gain over one of its stored baselines, over all cells and passes. Empty without
/// times, and for a baseline that is none by the definition above (plans of older versions).
[[nodiscard]] std::optional<Gain> GainOver(const Plan& plan, const Baseline& baseline);

/// Why GainOver() is empty.
[[nodiscard]] std::string WhyNoGain(const Baseline& baseline);

/// "1.46x the speed of plain ulysses [1.31, 1.61], faster; chance of the other order below 0.1%"
[[nodiscard]] std::string GainText(const Gain& gain, Family family);

}  // namespace dbsp
