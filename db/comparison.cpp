// SPDX-License-Identifier: Apache-2.0
#include "db/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include "core/error.h"
#include "core/json.h"
#include "core/statistics.h"
#include "core/terminal_text.h"
#include "core/units.h"

namespace dbsp::db {
namespace {

std::string Text(const AttentionConfig& c) {
  return fmt::format("attention {} {} heads {} d {} blocks {}x{} of {}x{} {} {} active, seed {}",
                     c.kernel,
                     NameOf(c.dtype),
                     c.heads,
                     c.head_dim,
                     c.q_blocks,
                     c.k_blocks,
                     c.block.q,
                     c.block.k,
                     c.pattern,
                     c.active_blocks,
                     c.seed);
}

std::string Text(const ExchangeConfig& c) {
  std::string text =
      fmt::format("{} over {}, {} ranks, {} bytes", c.op, c.transport, c.ranks, c.bytes_per_rank);
  if (c.nodes > 1) text += fmt::format(", {} hosts", c.nodes);
  if (c.unevenness != 1) text += fmt::format(", unevenness {:g}", c.unevenness);
  return text;
}

std::string Text(const LocalConfig& c) {
  return c.amount > 0 ? fmt::format("{} {} d {}", c.op, c.amount, c.head_dim) : c.op;
}

std::string Text(const OverlapConfig& c) {
  return fmt::format("{} timed beside: {}; {}; SM margin {}",
                     NameOf(c.timed),
                     Text(c.attention),
                     Text(c.exchange),
                     c.sm_margin);
}

struct Identity {
  std::string device;
  std::string method;
  std::string key;
  auto operator<=>(const Identity&) const = default;
};

struct Measured {
  std::map<Identity, Trial> newest;
  std::set<std::string> devices;
  std::int64_t older = 0;  ///< trials that a newer one of the same configuration replaces
  std::int64_t unfinished = 0;
};

Measured MeasuredOf(const Database& database) {
  std::map<std::int64_t, std::string> device;
  Measured out;
  for (const StoredEnvironment& environment : database.Environments()) {
    device[environment.id] = environment.provenance.device_name;
  }
  for (StoredTrial& stored : database.Trials()) {  // oldest first
    if (stored.trial.outcome != TrialOutcome::kOk || stored.trial.samples_ns.empty()) {
      ++out.unfinished;
      continue;
    }
    const std::string& name = device[stored.environment_id];
    out.devices.insert(name);
    const auto [at, fresh] = out.newest.insert_or_assign(
        Identity{name, stored.trial.method, KeyOf(stored.trial.config)}, std::move(stored.trial));
    out.older += fresh ? 0 : 1;
  }
  return out;
}

/// Without the device where each file has one: two machines may be compared.
std::map<Identity, Trial> WithoutDevices(Measured measured, bool drop) {
  if (!drop) return std::move(measured.newest);
  std::map<Identity, Trial> out;
  for (auto& [identity, trial] : measured.newest) {
    out.insert_or_assign(Identity{"", identity.method, identity.key}, std::move(trial));
  }
  return out;
}

const char* WhyOf(const Gain& gain) {
  switch (gain.verdict) {
    case GainVerdict::kSame:
      return "less than 2% apart";
    case GainVerdict::kFaster:
      return "interval above 1";
    case GainVerdict::kSlower:
      return "interval below 1";
    case GainVerdict::kAmbiguous:
      break;
  }
  return "interval contains 1";
}

std::string UpperCase(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) {
    return static_cast<char>(std::toupper(c));
  });
  return text;
}

double HalfWidth(const BaselineTime& time) {
  if (time.total_ns <= 0) return 0;
  return static_cast<double>(time.high_ns - time.low_ns) / 2 / static_cast<double>(time.total_ns);
}

/// Times of cells of both plans, added up.
class PlanSums {
 public:
  PlanSums(const Plan& first, const Plan& second)
      : first_waves_(first.sequential_waves()),
        second_waves_(second.sequential_waves()),
        same_costs_(CostsOf(first) == CostsOf(second)),
        model_error_(ModelErrorOf(second).value_or(0)) {}

  void Add(const BaselineTime& first, const BaselineTime& second, double times) {
    shared_.Add(second, times * second_waves_, first, times * first_waves_);
    Extend(sums_[0], first, times * first_waves_);
    Extend(sums_[1], second, times * second_waves_);
  }

  [[nodiscard]] Gain Result() const {
    if (sums_[1].total_ns <= 0 || sums_[0].total_ns <= 0) {
      return PlainGain(static_cast<double>(sums_[0].total_ns),
                       static_cast<double>(sums_[1].total_ns));
    }
    if (same_costs_) return shared_.Result(model_error_);
    return GainWithin(static_cast<double>(sums_[0].total_ns),
                      static_cast<double>(sums_[1].total_ns),
                      std::hypot(HalfWidth(sums_[0]), HalfWidth(sums_[1])) / kNinety);
  }

 private:
  static void Extend(BaselineTime& sum, const BaselineTime& time, double times) {
    const auto scaled = [&](std::int64_t ns) {
      return static_cast<std::int64_t>(std::llround(static_cast<double>(ns) * times));
    };
    sum.total_ns += scaled(time.total_ns);
    sum.low_ns += scaled(time.low_ns);
    sum.high_ns += scaled(time.high_ns);
  }

  int first_waves_;
  int second_waves_;
  bool same_costs_;
  double model_error_;
  GainSum shared_;
  BaselineTime sums_[2];
};

std::string StrategyText(const Plan& plan, int index) {
  const Strategy& s = plan.strategies[index];
  return fmt::format("{} {}x{}x{} {}",
                     NameOf(s.family),
                     s.cfg_degree,
                     s.ulysses_degree,
                     s.ring_degree,
                     NameOf(s.exchange));
}

Json Finite(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

}  // namespace

std::int64_t Comparison::Count(GainVerdict verdict) const {
  return std::count_if(rows.begin(), rows.end(), [&](const ComparedRow& row) {
    return row.gain.verdict == verdict;
  });
}

std::string Describe(const TrialConfig& config) {
  return std::visit([](const auto& kind) { return Text(kind); }, config);
}

Comparison CompareDatabases(const Database& first, const Database& second) {
  Measured a = MeasuredOf(first);
  Measured b = MeasuredOf(second);
  Comparison out;
  out.kind = "databases";
  const bool one_each = a.devices.size() == 1 && b.devices.size() == 1;
  if (one_each && a.devices != b.devices) {
    out.notes.push_back(
        fmt::format("the devices differ: {} and {}", *a.devices.begin(), *b.devices.begin()));
  }
  if (const std::int64_t older = a.older + b.older; older > 0) {
    out.notes.push_back(fmt::format(
        "{} trials were measured again later; the newest of a configuration counts", older));
  }
  if (const std::int64_t unfinished = a.unfinished + b.unfinished; unfinished > 0) {
    out.notes.push_back(fmt::format("{} trials without a result were left out", unfinished));
  }
  const auto ours = WithoutDevices(std::move(a), one_each);
  const auto theirs = WithoutDevices(std::move(b), one_each);
  for (const auto& [identity, trial] : ours) {
    const auto found = theirs.find(identity);
    if (found == theirs.end()) {
      ++out.only_first;
      continue;
    }
    const auto& before = trial.samples_ns;
    const auto& after = found->second.samples_ns;
    std::string name = Describe(trial.config) + " (" + identity.method + ")";
    if (!identity.device.empty()) name += " on " + identity.device;
    out.rows.push_back(
        {std::move(name),
         GainWithin(Median(before),
                    Median(after),
                    std::hypot(RelativeMedianError(before), RelativeMedianError(after))),
         fmt::format("{} and {} samples", before.size(), after.size())});
  }
  for (const auto& [identity, trial] : theirs) out.only_second += ours.contains(identity) ? 0 : 1;
  return out;
}

Comparison ComparePlans(const Plan& first, const Plan& second) {
  const auto refuse = [](const std::string& what, const auto& a, const auto& b) {
    Fail(ErrorCode::kMismatch,
         "the plans are of different {}: {} and {}; compare plans of one workload on one number of "
         "ranks",
         what,
         a,
         b);
  };
  if (first.workload_hash != second.workload_hash) {
    refuse("workloads",
           first.workload_name + " " + first.workload_hash.substr(0, 8),
           second.workload_name + " " + second.workload_hash.substr(0, 8));
  }
  if (first.ranks != second.ranks) refuse("numbers of ranks", first.ranks, second.ranks);
  const bool same_cells = std::equal(
      first.cells.begin(),
      first.cells.end(),
      second.cells.begin(),
      second.cells.end(),
      [](const PlanCell& a, const PlanCell& b) { return a.step == b.step && a.layer == b.layer; });
  if (!same_cells) refuse("cells", first.cells.size(), second.cells.size());
  Comparison out;
  out.kind = "plans";
  if (CostsOf(first) != CostsOf(second)) {
    out.notes.push_back(fmt::format("the costs differ: {} and {}; the intervals are those of both",
                                    NameOf(CostsOf(first)),
                                    NameOf(CostsOf(second))));
  }
  PlanSums total(first, second);
  using Pair = std::tuple<int, int, int, int>;  // predictions and strategies
  std::map<Pair, std::pair<PlanSums, std::int64_t>> groups;
  for (std::size_t i = 0; i < first.cells.size(); ++i) {
    const PlanCell& a = first.cells[i];
    const PlanCell& b = second.cells[i];
    const BaselineTime before = TimeOf(first.predictions[a.prediction]);
    const BaselineTime after = TimeOf(second.predictions[b.prediction]);
    total.Add(before, after, 1);
    const bool equal =
        before == after && StrategyText(first, a.strategy) == StrategyText(second, b.strategy);
    if (equal) continue;
    const auto [at, fresh] = groups.try_emplace(
        Pair{a.prediction, b.prediction, a.strategy, b.strategy}, PlanSums(first, second), 0);
    at->second.first.Add(before, after, 1);
    ++at->second.second;
  }
  out.rows.push_back({"whole plan", total.Result(), fmt::format("{} cells", first.cells.size())});
  for (const auto& [pair, group] : groups) {
    out.rows.push_back(
        {StrategyText(first, std::get<2>(pair)) + " -> " + StrategyText(second, std::get<3>(pair)),
         group.first.Result(),
         fmt::format("{} cells", group.second)});
  }
  return out;
}

std::string ComparisonText(const Comparison& comparison,
                           const std::string& first,
                           const std::string& second) {
  std::string text = fmt::format("{:<9}  {:>8}  {:>20}  {:>12}  {:>12}  what\n",
                                 "verdict",
                                 "ratio",
                                 "90% interval",
                                 "A ms",
                                 "B ms");
  for (const ComparedRow& row : comparison.rows) {
    const Gain& gain = row.gain;
    const std::string interval =
        gain.low ? fmt::format("[{:.3f}, {:.3f}]", *gain.low, *gain.high) : "not known";
    text += fmt::format("{:<9}  {:>7.3f}x  {:>20}  {:>12.6g}  {:>12.6g}  {}; {}; {}\n",
                        UpperCase(NameOf(gain.verdict)),
                        gain.gain,
                        interval,
                        gain.baseline_ns / kNsPerMs,
                        gain.plan_ns / kNsPerMs,
                        TerminalLine(row.name),
                        row.basis,
                        WhyOf(gain));
  }
  text += fmt::format("{} FASTER, {} SLOWER, {} SAME, {} AMBIGUOUS; {} only in A, {} only in B\n",
                      comparison.Count(GainVerdict::kFaster),
                      comparison.Count(GainVerdict::kSlower),
                      comparison.Count(GainVerdict::kSame),
                      comparison.Count(GainVerdict::kAmbiguous),
                      comparison.only_first,
                      comparison.only_second);
  text += fmt::format("A is {}, B is {}. The ratio is A's time over B's: above 1, B is faster.\n",
                      TerminalLine(first),
                      TerminalLine(second));
  text += fmt::format("Rule: {}.\n", kVerdictRule);
  return text;
}

std::string ComparisonJson(const Comparison& comparison,
                           const std::string& first,
                           const std::string& second) {
  Json document = {{"schema", "dbsp.db_compare/1"},
                   {"kind", comparison.kind},
                   {"a", first},
                   {"b", second},
                   {"rule", kVerdictRule},
                   {"only_a", comparison.only_first},
                   {"only_b", comparison.only_second},
                   {"notes", comparison.notes},
                   {"rows", Json::array()}};
  for (const ComparedRow& row : comparison.rows) {
    const Gain& gain = row.gain;
    document["rows"].push_back({{"name", row.name},
                                {"verdict", UpperCase(NameOf(gain.verdict))},
                                {"why", WhyOf(gain)},
                                {"a_ns", gain.baseline_ns},
                                {"b_ns", gain.plan_ns},
                                {"ratio", gain.gain},
                                {"ratio_low", gain.low ? Finite(*gain.low) : Json(nullptr)},
                                {"ratio_high", gain.high ? Finite(*gain.high) : Json(nullptr)},
                                {"basis", row.basis}});
  }
  return DumpJson(document, 1) + "\n";
}

}  // namespace dbsp::db
