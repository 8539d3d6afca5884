// SPDX-License-Identifier: Apache-2.0
#include "tests/reports/fixture.h"

#include <algorithm>
#include <cmath>

#include "core/baseline.h"
#include "core/file.h"
#include "core/json.h"
#include "core/units.h"
#include "db/database.h"
#include "planner/placement/families.h"
#include "planner/timeline/costs.h"
#include "planner/timeline/layer_volumes.h"
#include "planner/timeline/timeline.h"
#include "planner/workload/mask_flag.h"
#include "planner/workload/mask_source.h"
#include "tuner/baselines.h"

namespace dbsp::reports {
namespace {

/// Costs proportional to the volumes, with an interval of 10% on both sides.
class LinearCosts : public planner::Costs {
 public:
  [[nodiscard]] planner::Estimate Attention(const planner::AttentionWork& work) const override {
    return Around(static_cast<double>(work.active_pairs) * 0.8);
  }
  [[nodiscard]] planner::Estimate Copy(std::int64_t bytes) const override {
    return Around(static_cast<double>(bytes) * 0.1);
  }
  [[nodiscard]] planner::Estimate Merge(std::int64_t rows, int head_dim) const override {
    return Around(static_cast<double>(rows) * head_dim * 0.3);
  }
  [[nodiscard]] planner::Estimate AllToAll(std::span<const int>,
                                           std::int64_t bytes) const override {
    return bytes == 0 ? planner::Estimate{} : Around(2000 + static_cast<double>(bytes) * 0.5);
  }
  [[nodiscard]] planner::Estimate Hop(std::span<const int>, std::int64_t bytes) const override {
    return bytes == 0 ? planner::Estimate{} : Around(2000 + static_cast<double>(bytes) * 0.7);
  }
  [[nodiscard]] double BandwidthBoundNs(std::int64_t bytes) const override {
    return static_cast<double>(bytes) * 0.4;
  }
  [[nodiscard]] CostSource source() const override { return CostSource::kMeasured; }

 private:
  static planner::Estimate Around(double ns) { return {ns, ns * 0.9, ns * 1.1}; }
};

struct Choice {
  Family family;
  int ulysses;
  int ring;
  int cfg_degree = 1;
};

void AddCell(const LayerMasks& masks, Choice choice, int step, int layer, Plan& plan) {
  const HomeLayout home = MakeHomeLayout(plan.shape, PassRanks(plan.ranks, choice.cfg_degree));
  Strategy strategy;
  strategy.family = choice.family;
  strategy.cfg_degree = choice.cfg_degree;
  strategy.ulysses_degree = choice.ulysses;
  strategy.ring_degree = choice.ring;
  strategy.exchange = planner::ExchangeOf(choice.family, choice.ring);
  strategy.partition = static_cast<int>(plan.partitions.size());
  plan.partitions.push_back(planner::MakePartition(
      choice.family, plan.shape, masks, home.ranks(), choice.ulysses, choice.ring, home));
  const planner::LayerVolumes work = planner::BuildLayerVolumes(
      plan.shape, masks, plan.partitions.back(), strategy, home, plan.dtype);
  plan.cells.push_back({step,
                        layer,
                        static_cast<int>(plan.strategies.size()),
                        static_cast<int>(plan.predictions.size())});
  plan.strategies.push_back(strategy);
  plan.predictions.push_back(planner::Predict(work, plan.shape, plan.dtype, LinearCosts()));
}

Prediction PredictBaseline(const LayerMasks& masks, const Baseline& baseline, const Plan& plan) {
  const HomeLayout home = MakeHomeLayout(plan.shape, plan.ranks);
  const Strategy strategy = BaselineStrategy(baseline.family, plan.ranks);
  const Partition partition = planner::MakePartition(baseline.family,
                                                     plan.shape,
                                                     masks,
                                                     plan.ranks,
                                                     strategy.ulysses_degree,
                                                     strategy.ring_degree,
                                                     home);
  const planner::LayerVolumes work =
      planner::BuildLayerVolumes(plan.shape, masks, partition, strategy, home, plan.dtype);
  return planner::Predict(work, plan.shape, plan.dtype, LinearCosts());
}

template <typename ChoiceAt>
Plan MakePlan(const Workload& workload, const ChoiceAt& choice_at) {
  Plan plan;
  plan.workload_json = WorkloadToJson(workload);
  plan.workload_hash = HashOf(workload);
  plan.workload_name = workload.model.name;
  plan.device = "Test CPU";
  plan.created_utc = "2026-01-31T12:00:00Z";
  plan.generator = "fixture";
  plan.costs = CostSource::kMeasured;
  plan.ranks = kFixtureRanks;
  plan.passes = workload.model.passes;
  plan.shape = workload.shape();
  plan.layouts = {{"given", {}}};
  const auto masks = planner::OpenMasks(workload);
  const tuner::BaselineLoads baselines(plan.shape, plan.ranks);
  plan.baselines = baselines.baselines();
  for (int step = 0; step < workload.model.steps; ++step) {
    for (int layer = 0; layer < workload.model.layers; ++layer) {
      const LayerMasks cell = masks->At(step, layer);
      AddCell(cell, choice_at(step, layer), step, layer, plan);
      const auto loads = baselines.On(cell);
      for (std::size_t b = 0; b < loads.size(); ++b) {
        plan.baselines[b].active_blocks.push_back(loads[b]);
        plan.baselines[b].times.push_back(TimeOf(PredictBaseline(cell, plan.baselines[b], plan)));
      }
    }
  }
  plan.notes = {"hop: sizes outside the measured range were priced <b>"};
  plan.fits = {{"attention", "cpu.block_sparse", 4, 0.1, 0.03}, {"pack", "", 2, 0.2, {}}};
  plan.close_calls = {{0, 1, "ring R4", 1000}};
  return plan;
}

Trial AttentionTrial(std::int64_t kept, TrialOutcome outcome) {
  Trial trial;
  trial.suite = "quick";
  AttentionConfig config;
  config.kernel = "cpu.block_sparse";
  config.heads = 2;
  config.head_dim = 64;
  config.block = {64, 64};
  config.q_blocks = 16;
  config.k_blocks = 16;
  config.pattern = "uniform";
  config.active_blocks = kept;
  config.active_rows = 32;
  trial.config = config;
  trial.outcome = outcome;
  trial.method = "cpu.thread_time";
  trial.started_utc = "2026-01-31T11:00:00Z";
  if (outcome != TrialOutcome::kOk) {
    trial.detail = "relative error 0.5 </script><!-- not markup";
    return trial;
  }
  trial.stop_reason = "spread";
  trial.warmups = 2;
  trial.discarded = 1;
  for (int i = 0; i < 5; ++i) trial.samples_ns.push_back(kept * 1000 + i * 100);
  return trial;
}

Trial OtherTrial(TrialConfig config, std::int64_t ns) {
  Trial trial = AttentionTrial(1, TrialOutcome::kOk);
  trial.config = std::move(config);
  trial.samples_ns = {ns, ns + 10, ns + 20};
  return trial;
}

double Milliseconds(const Plan& plan, std::int64_t Prediction::*member) {
  double sum = 0;
  for (const PlanCell& cell : plan.cells) {
    sum += static_cast<double>(plan.predictions[cell.prediction].*member);
  }
  return sum * plan.sequential_waves() / kNsPerMs;
}

std::int64_t Stretch(std::int64_t ns, double factor) {
  return static_cast<std::int64_t>(std::llround(static_cast<double>(ns) * factor));
}

}  // namespace

Workload FixtureWorkload() {
  Workload workload;
  workload.model.name = "small <video> & \"model\"";
  workload.model.layers = 3;
  workload.model.heads = 4;
  workload.model.head_dim = 64;
  workload.model.grid = {5, 10, 20};
  workload.model.steps = 2;
  workload.model.passes = 2;
  workload.block = {64, 64};
  planner::ApplyMaskFlag("random:density=0.3,seed=7", workload);
  return workload;
}

Plan UniformPlan(const Workload& workload, Family family, int ulysses, int ring, int cfg_degree) {
  return MakePlan(workload, [&](int, int) { return Choice{family, ulysses, ring, cfg_degree}; });
}

Plan MixedPlan(const Workload& workload) {
  return MakePlan(workload, [](int, int layer) {
    return layer == 0 ? Choice{Family::kUlysses, kFixtureRanks, 1} : Choice{Family::kDbsp, 2, 2};
  });
}

ReplayRecord ReplayOf(const Plan& plan, double factor) {
  ReplayRecord replay;
  replay.plan_hash = HashBytes(PlanToJson(plan));
  replay.workload_hash = plan.workload_hash;
  replay.device = plan.device;
  replay.transport = "threads";
  replay.exchange_source = "measured in this run";
  replay.ranks = plan.ranks;
  replay.verified = true;
  replay.started_utc = "2026-01-31T13:00:00Z";
  for (const PlanCell& cell : plan.cells) {
    const Prediction& p = plan.predictions[cell.prediction];
    ReplayCell out;
    out.step = cell.step;
    out.layer = cell.layer;
    out.multiplicity = 1;
    out.predicted_ns = p.total_ns;
    out.replayed_ns = Stretch(p.total_ns, factor);
    out.relative_error = 2.5e-7;
    out.max_abs_error = 1.5e-6;
    out.lse_error = 3.5e-6;
    for (int group = 0; group < plan.cfg_degree(); ++group) {
      for (Segment segment : p.segments) {
        segment.predicted_ns = segment.duration_ns;
        segment.rank += group * plan.pass_ranks();
        segment.start_ns = Stretch(segment.start_ns, factor);
        segment.duration_ns = Stretch(segment.duration_ns, factor);
        out.segments.push_back(segment);
      }
    }
    replay.cells.push_back(std::move(out));
  }
  return replay;
}

Provenance FixtureProvenance() {
  Provenance provenance;
  provenance.device_kind = "cpu";
  provenance.device_name = "Test CPU";
  provenance.host = "test-host";
  provenance.cores = 2;
  provenance.memory_bytes = 8'000'000'000;
  provenance.compiler = "GCC 12.2.0";
  provenance.build_type = "Release";
  provenance.git_commit = "0123abcd";
  provenance.git_dirty = false;
  provenance.version = "0.1.0";
  provenance.argv = {"dbsp-profile", "--db", "p.db"};
  provenance.started_utc = "2026-01-31T11:00:00Z";
  provenance.extra = {{"governor", "performance"}};
  return provenance;
}

std::vector<Trial> FixtureTrials() {
  std::vector<Trial> trials;
  for (const std::int64_t kept : {512, 64, 256, 128}) {
    trials.push_back(AttentionTrial(kept, TrialOutcome::kOk));
  }
  trials.push_back(AttentionTrial(32, TrialOutcome::kWrong));
  trials.push_back(OtherTrial(ExchangeConfig{"alltoall", "threads", 4, 1'000'000, 1.0}, 70'000));
  trials.push_back(OtherTrial(ExchangeConfig{"hop", "threads", 2, 500'000, 1.0}, 40'000));
  trials.push_back(OtherTrial(LocalConfig{"merge", 4096, 64, {64, 64}}, 9'000));
  OverlapConfig overlap;
  overlap.attention = std::get<AttentionConfig>(trials.front().config);
  overlap.exchange = {"hop", "threads", 4, 500'000, 1.0};
  Trial failed = AttentionTrial(32, TrialOutcome::kFailed);
  failed.config = overlap;
  trials.push_back(std::move(failed));
  return trials;
}

std::string FixtureCompare(const std::vector<Plan>& plans, const Plan& chosen) {
  Json candidates = Json::array();
  for (const Plan& plan : plans) {
    const Strategy& s = plan.strategies.front();
    const auto won = std::count_if(chosen.cells.begin(), chosen.cells.end(), [&](const auto& cell) {
      const Strategy& other = chosen.strategies[cell.strategy];
      return other.family == s.family && other.ring_degree == s.ring_degree;
    });
    candidates.push_back({{"family", NameOf(s.family)},
                          {"cfg_degree", s.cfg_degree},
                          {"ulysses_degree", s.ulysses_degree},
                          {"ring_degree", s.ring_degree},
                          {"exchange", NameOf(s.exchange)},
                          {"kernels", {"default"}},
                          {"compute_ms", Milliseconds(plan, &Prediction::compute_ns)},
                          {"total_ms", Milliseconds(plan, &Prediction::total_ns)},
                          {"total_ms_low", Milliseconds(plan, &Prediction::low_ns)},
                          {"total_ms_high", Milliseconds(plan, &Prediction::high_ns)},
                          {"lower_bound_ms", Milliseconds(plan, &Prediction::lower_bound_ns)},
                          {"rho_timeline", nullptr},
                          {"chosen", won},
                          {"verdict", won > 0 ? "chosen" : "slower"}});
  }
  const Json document = {
      {"schema", "dbsp.compare/1"},
      {"workload", {{"name", chosen.workload_name}, {"hash", chosen.workload_hash}}},
      {"ranks", chosen.ranks},
      {"costs", NameOf(chosen.costs)},
      {"cluster", chosen.cluster},
      {"database_hash", chosen.database_hash},
      {"candidates", candidates}};
  return DumpJson(document, 1);
}

namespace {

std::string CompareOfFamilies(const Workload& workload, const Plan& chosen) {
  return FixtureCompare({UniformPlan(workload, Family::kUlysses, kFixtureRanks, 1),
                         UniformPlan(workload, Family::kRing, 1, kFixtureRanks),
                         UniformPlan(workload, Family::kDbsp, 2, 2)},
                        chosen);
}

}  // namespace

ReportInputs FixtureInputs() {
  const Workload workload = FixtureWorkload();
  ReportInputs inputs;
  inputs.database_name = "p.db";
  inputs.schema_version = 1;
  inputs.measurement_hash = "00112233445566778899aabbccddeeff";
  inputs.environments.resize(1);
  inputs.environments[0].id = 1;
  inputs.environments[0].provenance = FixtureProvenance();
  std::int64_t id = 0;
  for (const Trial& trial : FixtureTrials()) inputs.trials.push_back({++id, 1, trial});
  Plan plan = MixedPlan(workload);
  plan.database_hash = inputs.measurement_hash;
  Plan ulysses = UniformPlan(workload, Family::kUlysses, kFixtureRanks, 1);
  ulysses.database_hash = inputs.measurement_hash;
  inputs.plans = {{plan, "plan.json", {HashBytes(PlanToJson(plan))}}};
  inputs.other_plans = {{ulysses, "plan 2 of p.db", {HashBytes(PlanToJson(ulysses))}}};
  inputs.stored_plans = 2;
  inputs.replays = {{1, 1, ReplayOf(ulysses, 1.5)}, {2, 1, ReplayOf(plan, 1.25)}};
  inputs.compares = {{"compare.json", CompareOfFamilies(workload, plan)}};
  inputs.created_utc = "2026-01-31T14:00:00Z";
  return inputs;
}

void WriteFixture(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  const Workload workload = FixtureWorkload();
  db::Database database = db::Database::Open(folder / "p.db", db::OpenMode::kCreate);
  const std::int64_t environment = database.AddEnvironment(FixtureProvenance());
  for (const Trial& trial : FixtureTrials()) database.AddTrial(environment, trial);
  Plan plan = MixedPlan(workload);
  plan.database_hash = database.MeasurementHash();
  Plan ulysses = UniformPlan(workload, Family::kUlysses, kFixtureRanks, 1);
  ulysses.database_hash = plan.database_hash;
  WritePlan(plan, folder / "plan.json");
  WritePlan(ulysses, folder / "ulysses.json");
  database.AddPlan(PlanToJson(ulysses));
  database.AddPlan(PlanToJson(plan));
  database.AddReplay(environment, ReplayOf(ulysses, 1.5));
  database.AddReplay(environment, ReplayOf(plan, 1.25));
  WriteFileAtomically(folder / "compare.json", CompareOfFamilies(workload, plan));
}

void WriteLargePlan(const std::filesystem::path& file) {
  Workload workload = FixtureWorkload();
  workload.model.name = "large";
  workload.model.layers = 40;
  workload.model.heads = 8;
  workload.model.steps = 50;
  workload.rules.clear();
  workload.assignments.clear();
  planner::ApplyMaskFlag("random:density=0.3,seed=7", workload);
  WritePlan(UniformPlan(workload, Family::kDbsp, 2, 2), file);
}

}  // namespace dbsp::reports
