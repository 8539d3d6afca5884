// SPDX-License-Identifier: Apache-2.0
#include "tuner/tune_tool.h"

#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <chrono>
#include <cmath>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "core/cli.h"
#include "core/error.h"
#include "core/output.h"
#include "core/parallel_for.h"
#include "core/plugin_facts.h"
#include "core/units.h"
#include "db/database.h"
#include "planner/timeline/validate.h"
#include "planner/workload/mask_files.h"
#include "tuner/bandwidth_advice.h"
#include "tuner/cluster_costs.h"
#include "tuner/comparison.h"
#include "tuner/cost_model.h"
#include "tuner/end_to_end.h"
#include "tuner/fallback.h"
#include "tuner/make_plan.h"
#include "tuner/mixed_costs.h"
#include "tuner/search_space.h"

namespace dbsp::tuner {
namespace {

/// Cost model of the search, with the values that follow from it.
struct CostChoice {
  std::unique_ptr<FittedCosts> fitted;
  std::unique_ptr<ClusterCosts> analytic;
  std::unique_ptr<MixedCosts> mixed;  ///< `fitted` with the exchanges of a cluster
  PlanOrigin origin;
  DType dtype = DType::kBf16;
  std::string kernel;
  int ranks = 1;

  [[nodiscard]] const planner::Costs& costs() const {
    if (mixed) return *mixed;
    return fitted ? static_cast<const planner::Costs&>(*fitted) : *analytic;
  }
  [[nodiscard]] std::vector<std::string> Remarks() const {
    std::vector<std::string> remarks = fitted ? fitted->Remarks() : analytic->Remarks();
    if (mixed) remarks.push_back(mixed->Remark());
    return remarks;
  }
};

OpenOutputs CheckPlanFile(const TuneFlags& flags, const Workload& workload) {
  std::vector<InputPath> inputs = planner::MaskFilesOf(workload);
  inputs.push_back({"the workload", flags.workload});
  inputs.push_back({"the database", flags.database, FileUse::kDatabase});
  if (const auto file = ClusterFileOf(flags.cluster); !file.empty()) {
    inputs.push_back({"the clusters", file});
  }
  for (const std::string& file : flags.kernels) inputs.push_back({"--kernels", PluginPathOf(file)});
  std::vector<OutputPath> outputs;
  if (!flags.output.empty()) outputs.push_back({"-o", flags.output});
  return CheckOutputs(outputs, inputs);
}

/// All attention of the last cell as one call, by which the fastest kernel is chosen.
planner::AttentionWork TypicalWork(const Workload& workload,
                                   planner::MaskSource& masks,
                                   const SearchOptions& options) {
  const LayerMasks last = masks.At(options.steps.end - 1, options.layers.end - 1);
  planner::AttentionWork work;
  work.head_dim = workload.model.head_dim;
  work.block = workload.block;
  work.heads = last.heads();
  for (const BlockMaskPtr& mask : last.head) {
    work.active_blocks += mask->Count();
    for (int i = 0; i < mask->rows(); ++i) work.active_rows += mask->RowCount(i) > 0 ? 1 : 0;
  }
  return work;
}

CostChoice ChooseCosts(const TuneFlags& flags,
                       const Workload& workload,
                       planner::MaskSource& masks,
                       const SearchOptions& options) {
  CostChoice choice;
  std::optional<Cluster> cluster;
  choice.ranks = flags.ranks;
  if (!flags.cluster.empty()) {
    cluster = ParseCluster(flags.cluster, flags.ranks);
    choice.origin.cluster = cluster->name;
    if (flags.ranks == 0) choice.ranks = cluster->gpus();
    if (choice.ranks > cluster->gpus()) {
      Fail(ErrorCode::kInvalidArgument,
           "--ranks {}: {} has {} GPUs",
           choice.ranks,
           cluster->name,
           cluster->gpus());
    }
  }
  if (flags.database.empty()) {
    choice.origin.device = cluster->gpu + " (analytic)";
    choice.kernel = flags.kernel.value_or("");
    choice.analytic = std::make_unique<ClusterCosts>(std::move(*cluster));
    return choice;
  }
  const db::Database database = db::Database::Open(flags.database, db::OpenMode::kReadOnly);
  const auto trials = database.Trials();
  const auto environments = database.Environments();
  FitRequest request;
  request.database = flags.database.string();
  request.device = flags.device;
  request.kernel = flags.kernel;
  request.head_dim = workload.model.head_dim;
  request.block = workload.block;
  request.typical = TypicalWork(workload, masks, options);
  request.allow_scaled = flags.force;
  request.kernels = database.Kernels();
  for (const std::string& file : flags.kernels) {
    request.plugin_hashes.push_back(PluginFileHash(PluginPathOf(file)));
  }
  request.plugin_files = fmt::format("{}", fmt::join(flags.kernels, " --kernels "));
  request.ranks_per_node = flags.ranks_per_node;
  request.ranks = choice.ranks;
  request.profile_without_ranks = fmt::format(
      "dbsp-profile --db {} --workload {}", flags.database.string(), flags.workload.string());
  request.profile_command =
      fmt::format("{} --ranks {}", *request.profile_without_ranks, choice.ranks);
  choice.fitted = std::make_unique<FittedCosts>(trials, environments, request);
  choice.origin.database_hash = database.MeasurementHash();
  choice.origin.device = choice.fitted->device().device_name;
  choice.dtype = choice.fitted->dtype();
  choice.kernel = choice.fitted->kernel();
  if (cluster) choice.mixed = std::make_unique<MixedCosts>(*choice.fitted, std::move(*cluster));
  return choice;
}

/// Empty, with a note, when the costs have no rate to estimate with.
std::optional<RestOfVideo> RestOf(const TuneFlags& flags,
                                  const Workload& workload,
                                  planner::MaskSource& masks,
                                  const CostChoice& choice,
                                  const SearchOptions& options) {
  RestOfVideo rest;
  if (flags.rest_ms >= 0) {
    rest.cell_ns = std::llround(flags.rest_ms * kNsPerMs / workload.model.layers);
    rest.source = "given";
  } else {
    planner::AttentionWork work = TypicalWork(workload, masks, options);
    work.active_pairs = work.active_blocks * work.block.q * work.block.k;
    work.kernel = choice.kernel;
    try {
      rest = EstimateRest(workload.model, choice.ranks, work, choice.costs());
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kNotFound) throw;
      Progress(fmt::format("note: no time of the whole video: {}; give --rest-ms", error.what()));
      return std::nullopt;
    }
  }
  rest.once_ns = std::llround(flags.once_ms * kNsPerMs);
  rest.skipped_steps = ParseSkippedSteps(flags.skip_steps, workload.model.steps);
  return rest;
}

/// Sentence on the number of plans that the run makes and on the time lost by reusing plans.
std::string ReuseSummary(const Plan& plan, const SearchResult& result) {
  std::map<int, int> in_use;  // strategy of every layer
  std::size_t made = 0;
  for (const PlanCell& cell : plan.cells) {
    const auto [at, first] = in_use.try_emplace(cell.layer, cell.strategy);
    made += first || at->second != cell.strategy ? 1 : 0;
    at->second = cell.strategy;
  }
  return fmt::format(
      "reuse: {} plans for {} cells take {:.3f} ms in total; one plan per cell takes {:.3f} ms",
      made,
      plan.cells.size(),
      plan.total_ms(),
      SummarisePlan(result).total_ms);
}

/// Says that cells with lists of single keys or SLA classes are planned as block masks.
std::vector<std::string> NotesOfMasks(const planner::MaskSource& masks, const Workload& workload) {
  std::vector<std::string> notes;
  std::int64_t fine = 0, marginal = 0;
  for (int step = 0; step < workload.model.steps; ++step) {
    for (int layer = 0; layer < workload.model.layers; ++layer) {
      fine += masks.FineQueriesAt(step, layer) > 0 ? 1 : 0;
      marginal += masks.HasMarginalAt(step, layer) ? 1 : 0;
    }
  }
  if (fine > 0) {
    notes.push_back(fmt::format(
        "{} cells have lists of single keys; they are planned with the blocks that hold a listed "
        "key, for a block-sparse kernel",
        fine));
  }
  if (marginal > 0) {
    notes.push_back(fmt::format(
        "{} cells have marginal blocks (SLA); only their critical blocks are planned", marginal));
  }
  return notes;
}

/// What the search assumed or left out, as sentences. Call it after pricing.
std::vector<std::string> NotesOf(const SearchResult& result,
                                 const CostChoice& choice,
                                 const planner::MaskSource& masks,
                                 const Workload& workload) {
  std::vector<std::string> notes = NotesOfMasks(masks, workload);
  for (std::string& remark : choice.Remarks()) notes.push_back(std::move(remark));
  if (choice.fitted && !choice.mixed) {
    constexpr std::int64_t kMany = 1'000'000'000;
    const double ns = choice.fitted->BandwidthBoundNs(kMany);
    const double gb_per_s = ns > 0 ? static_cast<double>(kMany) / ns : 0;
    if (auto advice = BandwidthAdvice(choice.fitted->device(), gb_per_s)) {
      notes.push_back(std::move(*advice));
    }
  }
  for (const Candidate& candidate : result.candidates) {
    if (candidate.excluded.empty()) continue;
    notes.push_back(fmt::format("{} excluded: {}", NameOfCandidate(candidate), candidate.excluded));
  }
  return notes;
}

/// Held-out error of the chosen kernels' fits, for the intervals of gains.
std::optional<double> ModelErrorOf(const SearchResult& result, const CostChoice& choice) {
  std::set<std::string> kernels;
  for (const CellClass& cls : result.classes) {
    kernels.insert(result.KernelOf(cls, static_cast<std::size_t>(cls.choice.chosen)));
  }
  return dbsp::ModelErrorOf(choice.origin.fits, kernels);
}

void Report(const TuneFlags& flags,
            const Workload& workload,
            const SearchResult& result,
            const CostChoice& choice,
            const planner::MaskSource& masks,
            const std::optional<RestOfVideo>& rest) {
  const CostSource source = choice.costs().source();
  std::string verdict =
      VerdictLines(result, source, choice.origin.baselines, ModelErrorOf(result, choice));
  if (rest) {
    const std::int64_t cells = std::int64_t{workload.model.steps} * workload.model.layers;
    verdict += VideoLines(result, *rest, choice.origin.baselines, cells);
  }
  if (flags.json) {
    const CostsIdentity costs{source, choice.origin.cluster, choice.origin.database_hash};
    WriteStdout(
        CompareJson(result, workload.model.name, HashOf(workload), costs, flags.cells, rest));
    ProgressText(verdict);
  } else {
    const std::string table = flags.compare ? CompareTable(result, source, flags.cells) + "\n" : "";
    WriteSummary(flags.output, table + verdict);
  }
  if (rest) Progress("note: rest of the video: " + rest->source);
  for (const std::string& note : NotesOf(result, choice, masks, workload)) {
    Progress("note: " + note);
  }
}

/// A line on stderr about every two seconds of a search.
class SearchProgress {
 public:
  /// Sets options.on_cell, which refers to this object.
  explicit SearchProgress(SearchOptions& options)
      : cells_(static_cast<std::int64_t>(options.steps.end - options.steps.begin) *
               (options.layers.end - options.layers.begin)) {
    options.on_cell = [this](std::int64_t done) { Say(done); };
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds kEvery{2};

  void Say(std::int64_t done) {
    const Clock::time_point now = Clock::now();
    if (now - said_ < kEvery || done == cells_) return;
    said_ = now;
    const std::chrono::duration<double> spent = now - start_;
    Progress(fmt::format(
        "searched {} of {} cells in {:.0f} s; about {:.0f} s remain",
        done,
        cells_,
        spent.count(),
        spent.count() * static_cast<double>(cells_ - done) / static_cast<double>(done)));
  }

  std::int64_t cells_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point said_ = start_;
};

}  // namespace

IndexRange ParseRange(std::string_view text, int count, std::string_view flag) {
  if (text.empty()) return {0, count};
  const std::size_t dash = text.find('-');
  const std::string_view first = text.substr(0, dash);
  const std::string_view last = dash == std::string_view::npos ? first : text.substr(dash + 1);
  const auto number = [](std::string_view digits) -> std::optional<int> {
    int value = 0;
    const char* end = digits.data() + digits.size();
    const auto parsed = std::from_chars(digits.data(), end, value);
    if (digits.empty() || parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
    return value;
  };
  const auto begin = number(first);
  const auto end = number(last);
  if (!begin || !end || *begin < 0 || *end < *begin || *end >= count) {
    Fail(ErrorCode::kInvalidArgument,
         "{} {}: expected a range A-B or a number from 0 to {}",
         flag,
         text,
         count - 1);
  }
  return {*begin, *end + 1};
}

int RunTune(const TuneFlags& flags) {
  RequireSensible(flags);
  const std::vector<Family> families = ParseFamilies(flags.families);
  const Workload workload = ReadWorkload(flags.workload);
  const OpenOutputs open = CheckPlanFile(flags, workload);
  SearchOptions options;
  options.steps = ParseRange(flags.steps, workload.model.steps, "--steps");
  options.layers = ParseRange(flags.layers, workload.model.layers, "--layers");
  options.partition.dbsp_reward = flags.dbsp_reward;
  options.partition.memory_per_rank = flags.memory_per_rank;
  options.contract_tolerance = flags.contract_tolerance;
  options.replan_ns = flags.replan_us * kNsPerUs;
  options.threads = ThreadCount(flags.threads);
  const auto masks = planner::OpenMasks(workload);
  CostChoice choice = ChooseCosts(flags, workload, *masks, options);
  options.ranks = choice.ranks;
  options.dtype = choice.dtype;
  if (choice.fitted) {
    options.kernels = choice.fitted->kernels();
    options.kernels_without_lse = choice.fitted->kernels_without_lse();
  }
  const SpaceRequest request{
      families,
      ParseCfgDegrees(flags.plain ? "1" : flags.cfg_degrees, options.ranks, workload.model.passes),
      {.chunks = ParseChunks(flags.plain ? "1" : flags.chunks), .exchanges = !flags.plain},
      flags.plain ? "given" : flags.layout,
      choice.kernel};
  SearchSpace space = MakeSearchSpace(request, workload, *masks, choice.costs(), options);
  options.layouts = std::move(space.layouts);
  SearchProgress progress(options);
  const SearchResult result =
      Search(workload, *masks, choice.costs(), std::move(space.candidates), options);
  choice.origin.baselines = PriceBaselines(*masks, choice.costs(), result, options);
  if (choice.fitted) choice.origin.fits = choice.fitted->Fits();
  const auto rest = RestOf(flags, workload, *masks, choice, options);
  if (!flags.output.empty()) {
    const std::string version = VersionText("dbsp-tune");
    choice.origin.generator = version.substr(0, version.find('\n'));
    Plan plan = MakePlan(workload, *masks, choice.costs(), result, options, choice.origin);
    plan.workload_directory =
        RelativeFolder(IsStandardOutput(flags.output) ? "" : flags.output.parent_path(),
                       flags.workload.parent_path());
    plan.notes = NotesOf(result, choice, *masks, workload);
    plan.rest = rest;
    planner::ValidatePlan(plan, flags.output.string(), ErrorCode::kInternal);
    WritePlan(plan, flags.output);
    Progress(fmt::format("wrote {}: {} cells, {} strategies, {} partitions",
                         OutputName(flags.output),
                         plan.cells.size(),
                         plan.strategies.size(),
                         plan.partitions.size()));
    if (options.replan_ns > 0) Progress(ReuseSummary(plan, result));
    if (const Status memory = CheckFallback(plan, flags.memory_per_rank); !memory.ok()) {
      Progress(fmt::format(
          "note: the fallback exceeds --memory-per-rank on dense masks: {}; where a contract does "
          "not hold, make a new plan instead",
          memory.message()));
    }
  }
  Report(flags, workload, result, choice, *masks, rest);
  return 0;
}

int TuneMain(int argc, const char* const* argv) {
  CLI::App app(
      "Chooses how to split the attention of every (step, layer) of a workload over ranks.",
      "dbsp-tune");
  TuneFlags flags;
  AddTuneFlags(app, flags);
  app.footer(
      "Examples:\n"
      "  dbsp-tune --workload w.json --db p.db --ranks 8 -o plan.json --compare\n"
      "  dbsp-tune --workload w.json --cluster h200x8 -o plan.json\n"
      "  dbsp-tune --workload w.json --cluster h100x8x8 -o plan.json       # 8 nodes of 8 GPUs");
  return RunTool(app, argc, argv, [&] { return RunTune(flags); });
}

}  // namespace dbsp::tuner
