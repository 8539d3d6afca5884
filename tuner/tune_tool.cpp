// SPDX-License-Identifier: Apache-2.0
#include "tuner/tune_tool.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <memory>
#include <optional>
#include <thread>

#include "core/cli.h"
#include "core/error.h"
#include "core/units.h"
#include "db/database.h"
#include "planner/timeline/validate.h"
#include "tuner/cluster_costs.h"
#include "tuner/comparison.h"
#include "tuner/cost_model.h"
#include "tuner/fallback.h"
#include "tuner/make_plan.h"
#include "tuner/mixed_costs.h"
#include "tuner/search_space.h"

namespace dbsp::tuner {
namespace {

/// What prices the search, and what the plan says of it.
struct CostChoice {
  std::unique_ptr<FittedCosts> fitted;
  std::unique_ptr<ClusterCosts> analytic;
  std::unique_ptr<MixedCosts> mixed;  ///< fitted, and a cluster's exchanges
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

void RequireSensible(const TuneFlags& flags) {
  if (flags.database.empty() && flags.cluster.empty()) {
    Fail(ErrorCode::kInvalidArgument,
         "no costs: give --db FILE (measured costs), --cluster NAME (analytic costs), or both: a "
         "machine's attention with a cluster's exchanges");
  }
  if (flags.output.empty() && !flags.compare && !flags.json) {
    Fail(ErrorCode::kInvalidArgument, "nothing to do: give -o PLAN, --compare or both");
  }
  if (flags.cluster.empty() && flags.ranks == 0) {
    Fail(ErrorCode::kInvalidArgument, "--ranks is needed with --db");
  }
  for (const auto& input : {flags.workload, flags.database}) {
    std::error_code ignored;
    if (!flags.output.empty() && !input.empty() &&
        std::filesystem::equivalent(flags.output, input, ignored)) {
      Fail(ErrorCode::kInvalidArgument, "-o {}: would overwrite an input", flags.output.string());
    }
  }
}

/// The whole of the first cell on one rank, to choose a kernel by.
planner::AttentionWork TypicalWork(const Workload& workload,
                                   planner::MaskSource& masks,
                                   const SearchOptions& options) {
  const LayerMasks first = masks.At(options.steps.end - 1, options.layers.end - 1);
  planner::AttentionWork work;
  work.head_dim = workload.model.head_dim;
  work.block = workload.block;
  work.heads = first.heads();
  for (const BlockMaskPtr& mask : first.head) {
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
    cluster = ParseCluster(flags.cluster);
    choice.origin.cluster = cluster->name;
    if (flags.ranks == 0) choice.ranks = cluster->gpus;
    if (choice.ranks > cluster->gpus) {
      Fail(ErrorCode::kInvalidArgument,
           "--ranks {}: {} has {} GPUs",
           choice.ranks,
           cluster->name,
           cluster->gpus);
    }
  }
  if (flags.database.empty()) {
    choice.origin.device = cluster->gpu.name + " (analytic)";
    choice.kernel = flags.kernel;
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
  request.ranks_per_node = flags.ranks_per_node;
  request.profile_command = fmt::format("dbsp-profile --db {} --workload {} --ranks {}",
                                        flags.database.string(),
                                        flags.workload.string(),
                                        choice.ranks);
  choice.fitted = std::make_unique<FittedCosts>(trials, environments, request);
  choice.origin.database_hash = database.MeasurementHash();
  choice.origin.device = choice.fitted->device().device_name;
  choice.dtype = choice.fitted->dtype();
  choice.kernel = choice.fitted->kernel();
  if (cluster) choice.mixed = std::make_unique<MixedCosts>(*choice.fitted, std::move(*cluster));
  return choice;
}

/// How often layers change their plan from one step to the next, and what keeping it loses.
std::string ReuseWords(const Plan& plan, const SearchResult& result) {
  std::map<int, int> in_use;  // strategy of every layer
  std::size_t made = 0;
  for (const PlanCell& cell : plan.cells) {
    const auto [at, first] = in_use.try_emplace(cell.layer, cell.strategy);
    made += first || at->second != cell.strategy ? 1 : 0;
    at->second = cell.strategy;
  }
  return fmt::format(
      "reuse: {} plans for {} cells, {:.3f} ms in all against {:.3f} ms with a plan of its own for "
      "every cell",
      made,
      plan.cells.size(),
      plan.total_ms(),
      SummarisePlan(result).total_ms);
}

void Report(const TuneFlags& flags,
            const Workload& workload,
            const SearchResult& result,
            const CostChoice& choice) {
  const CostSource source = choice.costs().source();
  const std::string verdict = VerdictLines(result, source);
  if (flags.json) {
    WriteStdout(CompareJson(result, workload.model.name, HashOf(workload), source, flags.cells));
    Progress(verdict.substr(0, verdict.size() - 1));
  } else {
    WriteStdout((flags.compare ? CompareTable(result, source, flags.cells) + "\n" : "") + verdict);
  }
  for (const std::string& remark : choice.Remarks()) Progress("note: " + remark);
  for (const Candidate& candidate : result.candidates) {
    if (candidate.excluded.empty()) continue;
    Progress(fmt::format("note: {} excluded: {}", NameOfCandidate(candidate), candidate.excluded));
  }
}

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
         "{} {}: expected a range A-B or a number within 0-{}",
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
  SearchOptions options;
  options.steps = ParseRange(flags.steps, workload.model.steps, "--steps");
  options.layers = ParseRange(flags.layers, workload.model.layers, "--layers");
  options.partition.dbsp_reward = flags.dbsp_reward;
  options.partition.memory_per_rank = flags.memory_per_rank;
  options.contract_tolerance = flags.contract_tolerance;
  options.replan_ns = flags.replan_us * kNsPerUs;
  options.threads = flags.threads > 0
                        ? flags.threads
                        : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  const auto masks = planner::OpenMasks(workload);
  CostChoice choice = ChooseCosts(flags, workload, *masks, options);
  options.ranks = choice.ranks;
  options.dtype = choice.dtype;
  if (choice.fitted) options.kernels = choice.fitted->kernels();
  const SpaceRequest request{
      families,
      ParseCfgDegrees(flags.cfg_degrees, options.ranks, workload.model.passes),
      {.chunks = ParseChunks(flags.chunks), .exchanges = true},
      flags.layout,
      choice.kernel};
  SearchSpace space = MakeSearchSpace(request, workload, *masks, choice.costs(), options);
  options.layouts = std::move(space.layouts);
  const SearchResult result =
      Search(workload, *masks, choice.costs(), std::move(space.candidates), options);
  if (!flags.output.empty()) {
    const std::string version = VersionText("dbsp-tune");
    choice.origin.generator = version.substr(0, version.find('\n'));
    Plan plan = MakePlan(workload, *masks, choice.costs(), result, options, choice.origin);
    plan.workload_directory =
        RelativeFolder(flags.output.parent_path(), flags.workload.parent_path());
    planner::ValidatePlan(plan, flags.output.string(), ErrorCode::kInternal);
    WritePlan(plan, flags.output);
    Progress(fmt::format("wrote {}: {} cells, {} strategies, {} partitions",
                         flags.output.string(),
                         plan.cells.size(),
                         plan.strategies.size(),
                         plan.partitions.size()));
    if (options.replan_ns > 0) Progress(ReuseWords(plan, result));
    if (const std::string problem = FallbackProblem(plan, flags.memory_per_rank);
        !problem.empty()) {
      Progress(fmt::format(
          "note: the fallback does not keep within --memory-per-rank on masks that keep "
          "everything: {}; where a contract is broken, make a new plan",
          problem));
    }
  }
  Report(flags, workload, result, choice);
  return 0;
}

}  // namespace dbsp::tuner
