// SPDX-License-Identifier: Apache-2.0
// The plan file: strategies for a whole workload on P ranks, with their predictions.
// Format: docs/formats/plan.md ("dbsp.plan/2").
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/partition.h"
#include "core/shape.h"
#include "core/strategy.h"

namespace dbsp {

/// Origin of the costs of a plan, the most reliable one first.
enum class CostSource : std::uint8_t { kMeasured, kFitted, kPublished, kAnalytic };
[[nodiscard]] const char* NameOf(CostSource source);
[[nodiscard]] CostSource ParseCostSource(std::string_view name);

/// Prediction for one pair of masks and strategy. Cells with equal masks and strategy share one.
struct Prediction {
  std::int64_t total_ns = 0;  ///< makespan of the timeline of one CFG pass on its pass group
  std::int64_t low_ns = 0;  ///< lower and upper bound of total_ns, from the spread of the costs
  std::int64_t high_ns = 0;
  std::int64_t compute_ns = 0;  ///< slowest rank's attention + merge
  std::int64_t exchange_ns = 0;  ///< total_ns - compute_ns: exposed communication and copies
  /// max(compute of all ranks / ranks of the pass group, bytes that must move / bandwidth)
  std::int64_t lower_bound_ns = 0;
  double rho_barrier = 1.0;  ///< sum_t max_g b / (sum b / |G|), docs/metrics.md
  double rho_timeline = 1.0;  ///< total_ns / lower_bound_ns
  std::int64_t bytes_per_rank = 0;  ///< most bytes any rank sends
  double moved_fraction = 0.0;  ///< bytes sent by all ranks / bytes of Q, K, V, O
  std::vector<Segment> segments;  ///< the predicted timeline; ranks numbered in the pass group
  /// [rank of the pass group] active blocks that the rank computes; empty when it is not stored.
  std::vector<std::int64_t> active_blocks;
};

/// Predicted time of one pass of a baseline on the masks of one prediction, with the plan's costs.
struct BaselineTime {
  std::int64_t total_ns = 0;
  std::int64_t low_ns = 0;
  std::int64_t high_ns = 0;
  std::int64_t compute_ns = 0;
  std::int64_t exchange_ns = 0;
  bool operator==(const BaselineTime&) const = default;
};

/// A plain strategy that gains and loads are compared with; core/baseline.h defines it. Its
/// partition does not depend on masks, so its loads and times are all that is stored.
struct Baseline {
  Family family = Family::kUlysses;
  int ulysses_degree = 1;
  int ring_degree = 1;
  /// [prediction][rank of its pass group] active blocks that the rank would compute.
  std::vector<std::vector<std::int64_t>> active_blocks;
  /// 1. In plans of older versions that of the plan, and there are no times.
  int cfg_degree = 1;
  std::vector<BaselineTime> times = {};  ///< [prediction]; empty when it could not be priced
  std::string missing = {};  ///< the reason why there are no times; "" with times
  bool operator==(const Baseline&) const = default;
};

/// A model that was fitted to measurements and priced the plan.
struct CostFit {
  std::string operation;  ///< "attention", "pack", "merge", "alltoall" or "hop"
  std::string name;  ///< kernel, "8 ranks", or "" where the operation says all
  std::int64_t points = 0;  ///< measured configurations
  double held_out_error = 0;  ///< bound on the relative error of 90% of points left out of the fit
  std::optional<double> median_error;  ///< median relative error of such points, where known
  bool operator==(const CostFit&) const = default;
};

/// A cell in which another strategy may be faster within the errors of the costs.
struct CloseCall {
  int step = 0;
  int layer = 0;
  std::string rival;  ///< the other strategy
  std::int64_t rival_ns = 0;  ///< its predicted time for one pass
  bool operator==(const CloseCall&) const = default;
};

/// Share of one head's active blocks on every ring index of its group. The shares are those of the
/// masks that the plan was made for, and they add up to 1.
struct HeadShares {
  int head = 0;
  std::vector<double> share;  ///< [ring]
  bool operator==(const HeadShares&) const = default;
};

/// Limit of how far the masks of a cell may change before its strategy should no longer be used.
/// planner/timeline/contract.h defines and checks it.
struct Contract {
  double rho_limit = 1.0;  ///< the strategy is valid while rho_barrier of the masks is at most this
  /// Strategy for masks that break the contract when no new plan is made. It does not depend on the
  /// masks. Index into Plan::strategies.
  int fallback = 0;
  /// One entry per head that is split by rows: with it, block counts per head give the load of a
  /// rank. Empty with a ring exchange, where rho_barrier needs the masks themselves.
  std::vector<HeadShares> shares;
  bool operator==(const Contract&) const = default;
};

/// What a whole video takes beside the attention that a plan is of.
struct RestOfVideo {
  std::int64_t cell_ns = 0;  ///< one (step, layer) without its attention, all passes, on all ranks
  std::int64_t once_ns = 0;  ///< once per video: text encoder, decoder
  std::string source;  ///< "given", or a sentence that says how cell_ns was estimated
  std::vector<int> skipped_steps = {};  ///< ascending; cached steps, which run no layer
  bool operator==(const RestOfVideo&) const = default;
};

struct PlanCell {
  int step = 0;
  int layer = 0;
  int strategy = 0;  ///< index into Plan::strategies
  int prediction = 0;  ///< index into Plan::predictions
  std::optional<int> contract = std::nullopt;  ///< index into Plan::contracts
};

/// Static permutation of token blocks; index 0 of Plan::layouts is the identity (empty list).
struct TokenLayout {
  std::string name;  ///< "given", "strided:8", ...
  std::vector<int> block_order;  ///< block_order[new position] = block; empty = identity
  bool operator==(const TokenLayout&) const = default;
};

struct Plan {
  std::string workload_hash;
  std::string workload_name;
  std::string workload_json;  ///< text of the workload file, so that a replay needs only the plan
  /// Folder that array references are relative to, relative to the folder of the plan.
  std::string workload_directory;
  std::string database_hash;  ///< "" when the costs are analytic
  std::string cluster;  ///< "h200x8", or "" when the costs come from a database
  std::string device;  ///< name of the device that the costs are of
  std::string created_utc;  ///< ISO 8601
  std::string generator;  ///< dbsp version and commit
  CostSource costs = CostSource::kAnalytic;
  int ranks = 1;
  int passes = 1;
  DType dtype = DType::kF32;
  AttentionShape shape;
  std::vector<TokenLayout> layouts;
  std::vector<Partition> partitions;
  std::vector<Strategy> strategies;
  std::vector<Prediction> predictions;
  std::vector<Contract> contracts;
  std::vector<Baseline> baselines;  ///< empty in plans that were written without them
  std::vector<PlanCell> cells;  ///< by step, then layer
  std::vector<std::string> notes;  ///< what the tuner assumed or left out, as sentences
  std::vector<CostFit> fits;  ///< empty for analytic costs
  std::optional<std::vector<CloseCall>> close_calls;  ///< missing in plans of older versions
  std::optional<RestOfVideo> rest;  ///< missing when it is not known; core/video_time.h uses it
  bool hashed = false;  ///< read from a file that carries the hash of its content

  /// CFG degree of the plan. All strategies share it, because the degree decides which rank holds
  /// which tokens, and activations are not moved between layers. 1 for a plan without strategies.
  [[nodiscard]] int cfg_degree() const {
    return strategies.empty() ? 1 : strategies.front().cfg_degree;
  }
  /// Number of ranks that share one pass. Partitions and predictions are of these ranks.
  [[nodiscard]] int pass_ranks() const { return PassRanks(ranks, cfg_degree()); }
  /// Number of waves that the passes of a step take.
  [[nodiscard]] int sequential_waves() const { return SequentialWaves(passes, cfg_degree()); }
  /// Sum of total_ns over the cells, times sequential_waves().
  [[nodiscard]] double total_ms() const;
};

/// Writes `plan` to `path` by WriteFileAtomically(), compressed with zstd when it ends in .zst.
/// errors  Error{kIo}; Error{kInvalidArgument} for a plan beyond JsonLimits; Error{kInternal} for
///         any other plan that ReadPlan would refuse
void WritePlan(const Plan& plan, const std::filesystem::path& path);

/// Reads and validates a plan: the hash of its content where it has one, schema, index ranges,
/// partitions, finite non-negative times, workload_hash == HashBytes(workload_json), and shape,
/// passes and cells against that workload.
/// errors  Error{kIo, kCorruptInput} naming file and key or byte
[[nodiscard]] Plan ReadPlan(const std::filesystem::path& path);

/// The same to and from text in memory; `origin` names the text in errors.
[[nodiscard]] std::string PlanToJson(const Plan& plan);
[[nodiscard]] Plan PlanFromJson(std::string_view text, const std::string& origin);

}  // namespace dbsp
