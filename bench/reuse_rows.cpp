// SPDX-License-Identifier: Apache-2.0
#include "bench/reuse_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <numeric>

#include "planner/placement/drift.h"
#include "planner/placement/placed.h"
#include "planner/placement/reuse.h"
#include "planner/timeline/contract.h"
#include "planner/workload/row_loads.h"

namespace dbsp::planner {
namespace {

using Counts = std::vector<std::int64_t>;

constexpr int kRanks = 8;
constexpr int kMostPlans = 10;
constexpr double kTolerance = 0.05;

std::vector<int> Homes(int blocks) {
  std::vector<int> home;
  for (int i = 0; i < blocks; ++i) home.push_back(i * kRanks / blocks);
  return home;
}

double Rho(const std::vector<std::int64_t>& load) {
  const double total = std::accumulate(load.begin(), load.end(), 0.0);
  return static_cast<double>(*std::ranges::max_element(load)) * kRanks / total;
}

/// The measured counts of a run, and plans made from them.
class Trace {
 public:
  Trace(const std::vector<Counts>& counts, int layers, int rows, int cols)
      : counts_(counts),
        layers_(static_cast<std::size_t>(layers)),
        rows_(rows),
        row_home_(Homes(rows)),
        col_home_(Homes(cols)) {}

  [[nodiscard]] std::size_t steps() const { return counts_.size() / layers_; }
  [[nodiscard]] const Counts& At(std::size_t step, std::size_t layer) const {
    return counts_[step * layers_ + layer];
  }
  /// Prediction of `step` from the two steps before.
  [[nodiscard]] Counts Expected(std::size_t step, std::size_t layer, double gain) const {
    return PredictCounts(At(step - 1, layer), step >= 2 ? At(step - 2, layer) : Counts(), gain);
  }
  [[nodiscard]] Partition Plan(const Counts& counts) const {
    return PlaceHeads(SpreadLoads(counts, rows_), {}, row_home_, col_home_, kRanks);
  }
  [[nodiscard]] double RhoOf(const Counts& counts, const Partition& plan) const {
    return Rho(RankLoads(SpreadLoads(counts, rows_), plan));
  }
  [[nodiscard]] int rows() const { return rows_; }

 private:
  const std::vector<Counts>& counts_;
  std::size_t layers_;
  int rows_;
  std::vector<int> row_home_;
  std::vector<int> col_home_;
};

struct Outcome {
  double rho = 0;  ///< mean over pairs
  double worst = 0;
  double plans = 0;  ///< mean over layers
  int most_plans = 0;
};

struct Choice {
  double gain = 0;
  double price = 0;  ///< of a plan, in units of the mean rank time of one step
};

/// Visits the steps from 1 of layers [begin, end). Plans use only earlier steps.
Outcome FollowRule(const Trace& trace, std::size_t begin, std::size_t end, const Choice& choice) {
  Outcome out;
  const auto pairs = static_cast<double>((end - begin) * (trace.steps() - 1));
  for (std::size_t layer = begin; layer < end; ++layer) {
    ReuseRule rule(choice.price, kMostPlans);
    Partition plan;
    for (std::size_t step = 1; step < trace.steps(); ++step) {
      const Counts expected = trace.Expected(step, layer, choice.gain);
      const double keep = step == 1 ? 0 : trace.RhoOf(expected, plan);
      if (rule.Replan(keep, 1.0)) plan = trace.Plan(expected);
      const double rho = trace.RhoOf(trace.At(step, layer), plan);
      out.rho += rho / pairs;
      out.worst = std::max(out.worst, rho);
    }
    out.plans += static_cast<double>(rule.plans()) / static_cast<double>(end - begin);
    out.most_plans = std::max(out.most_plans, rule.plans());
  }
  return out;
}

/// Gain and price with the smallest mean rho on layers [begin, end).
Choice Fit(const Trace& trace, std::size_t begin, std::size_t end) {
  Choice best;
  double least = 0;
  for (const double gain : {0.0, 0.5, 1.0}) {
    for (const double price : {0.02, 0.04, 0.06, 0.08, 0.10, 0.12}) {
      const double rho = FollowRule(trace, begin, end, {gain, price}).rho;
      if (least > 0 && rho >= least) continue;
      least = rho;
      best = {gain, price};
    }
  }
  return best;
}

/// Checks a contract against the counts of the step itself. If it is broken, the plan of the step
/// is made from those counts. Step 0 makes the first plan.
Outcome FollowContract(const Trace& trace, std::size_t layers) {
  Outcome out;
  const auto pairs = static_cast<double>(layers * (trace.steps() - 1));
  for (std::size_t layer = 0; layer < layers; ++layer) {
    int plans = 0;
    Partition plan;
    Contract contract;
    for (std::size_t step = 0; step < trace.steps(); ++step) {
      const Counts& counts = trace.At(step, layer);
      if (step == 0 || !ContractCheck(plan, contract).Holds(counts)) {
        plan = trace.Plan(counts);
        contract = MakeContract(SpreadLoads(counts, trace.rows()), plan, kTolerance, 0);
        ++plans;
      }
      if (step == 0) continue;
      const double rho = trace.RhoOf(counts, plan);
      out.rho += rho / pairs;
      out.worst = std::max(out.worst, rho);
    }
    out.plans += static_cast<double>(plans) / static_cast<double>(layers);
    out.most_plans = std::max(out.most_plans, plans);
  }
  return out;
}

std::string Words(const Outcome& out) {
  return fmt::format(
      "{:.4f}/{:.3f}, {:.1f} plans, at most {}", out.rho, out.worst, out.plans, out.most_plans);
}

/// Nanoseconds of one check, the least of seven loops.
double CheckNs(const Trace& trace) {
  const Counts& counts = trace.At(1, 0);
  const Partition plan = trace.Plan(counts);
  const ContractCheck check(plan,
                            MakeContract(SpreadLoads(counts, trace.rows()), plan, kTolerance, 0));
  constexpr int kCalls = 20000;
  double least = 0;
  int held = 0;
  for (int n = 0; n < 7; ++n) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kCalls; ++i) {
      held += check.Holds(trace.At(static_cast<std::size_t>(i) % trace.steps(), 0)) ? 1 : 0;
    }
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
    least = n == 0 ? took.count() : std::min(least, took.count());
  }
  return held < 0 ? 0 : least / kCalls;
}

}  // namespace

void ReuseRows(
    const std::vector<Counts>& counts,
    int layers,
    int rows,
    int cols,
    const std::function<void(
        const std::string&, const std::string&, const std::string&, const std::string&)>& print) {
  const Trace trace(counts, layers, rows, cols);
  const auto all = static_cast<std::size_t>(layers);
  const Choice choice = Fit(trace, 0, all / 2);
  const std::string rule = fmt::format("gain {}, price {}", choice.gain, choice.price);
  const auto row = [&](const std::string& name, const char* goal, const std::string& reached) {
    print(name, "1.078, 5 plans", goal, reached);
  };
  row(fmt::format("same, reuse, {} chosen on layers 0-{}: those layers", rule, all / 2 - 1),
      "-",
      Words(FollowRule(trace, 0, all / 2, choice)));
  row(fmt::format("same, reuse, layers {}-{}, which had no part in the choice", all / 2, all - 1),
      "1.035, 10 plans",
      Words(FollowRule(trace, all / 2, all, choice)));
  const Outcome reuse = FollowRule(trace, 0, all, choice);
  row("same, reuse, all layers", "1.035, 10 plans", Words(reuse));
  const double steps = static_cast<double>(trace.steps() - 1);
  double every = 0;
  double first = 0;
  for (std::size_t layer = 0; layer < all; ++layer) {
    const Partition old = trace.Plan(trace.Expected(1, layer, choice.gain));
    for (std::size_t step = 1; step < trace.steps(); ++step) {
      const Counts& real = trace.At(step, layer);
      every += trace.RhoOf(real, trace.Plan(trace.Expected(step, layer, choice.gain)));
      first += trace.RhoOf(real, old);
    }
  }
  const auto cost = [&](double rho, double plans) {
    return (rho - 1) * steps + plans * choice.price;
  };
  const double cells = static_cast<double>(all) * steps;
  row("time lost in a run's steps, plans paid for, in mean rank times of a step: reuse, a plan "
      "every step, one plan",
      "-",
      fmt::format("{:.2f}, {:.2f}, {:.2f}",
                  cost(reuse.rho, reuse.plans),
                  cost(every / cells, steps),
                  cost(first / cells, 1)));
  row(fmt::format("contract of {:.0f}% checked on the step's own counts", 100 * kTolerance),
      "-",
      fmt::format(
          "{}; a check takes {:.0f} ns", Words(FollowContract(trace, all)), CheckNs(trace)));
}

}  // namespace dbsp::planner
