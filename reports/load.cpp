// SPDX-License-Identifier: Apache-2.0
// Active blocks per rank of one cell: as plain ulysses and plain ring would place them, and as the
// plan does. Computed from the workload inside the plan by the planner's own functions.
#include <algorithm>
#include <memory>

#include "core/error.h"
#include "planner/placement/families.h"
#include "planner/timeline/layer_volumes.h"
#include "planner/workload/mask_source.h"
#include "planner/workload/token_layout.h"
#include "reports/document_parts.h"

namespace dbsp::reports {
namespace {

std::vector<std::int64_t> BlocksPerRank(const planner::LayerVolumes& work) {
  std::vector<std::int64_t> blocks(work.ranks, 0);
  for (const auto& step : work.attention) {
    for (std::size_t rank = 0; rank < step.size(); ++rank) blocks[rank] += step[rank].active_blocks;
  }
  return blocks;
}

double MeanOf(const std::vector<std::int64_t>& blocks) {
  double sum = 0;
  for (const std::int64_t b : blocks) sum += static_cast<double>(b);
  return blocks.empty() ? 0.0 : sum / static_cast<double>(blocks.size());
}

Json ChartJson(const std::string& name, const std::vector<std::int64_t>& blocks) {
  const double mean = MeanOf(blocks);
  const auto peak = static_cast<double>(*std::max_element(blocks.begin(), blocks.end()));
  return {{"name", name},
          {"blocks", blocks},
          {"peak_over_mean", mean > 0 ? Json(peak / mean) : Json(nullptr)}};
}

Json PlainChart(
    Family family, const AttentionShape& shape, const LayerMasks& masks, int ranks, DType dtype) {
  const std::string name = fmt::format("Plain {}", NameOf(family));
  try {
    const HomeLayout home = MakeHomeLayout(shape, ranks);
    Strategy strategy;
    strategy.family = family;
    strategy.ulysses_degree = family == Family::kUlysses ? ranks : 1;
    strategy.ring_degree = family == Family::kUlysses ? 1 : ranks;
    strategy.exchange = planner::ExchangeOf(family, strategy.ring_degree);
    const Partition partition = planner::MakePartition(
        family, shape, masks, ranks, strategy.ulysses_degree, strategy.ring_degree, home);
    return ChartJson(
        name,
        BlocksPerRank(planner::BuildLayerVolumes(shape, masks, partition, strategy, home, dtype)));
  } catch (const Error& error) {
    return {{"name", name}, {"missing", error.what()}};
  }
}

}  // namespace

struct LoadView::State {
  const Plan* plan = nullptr;
  std::unique_ptr<planner::MaskSource> masks;
  std::string problem;  ///< why masks is empty
};

LoadView::LoadView(const ReportInputs& inputs, const PlanInput& input)
    : state_(std::make_unique<State>()) {
  state_->plan = &input.plan;
  try {
    Workload workload = WorkloadFromJson(input.plan.workload_json, input.name + ": workload");
    workload.directory = input.folder / input.plan.workload_directory;
    if (inputs.workload && HashOf(*inputs.workload) == input.plan.workload_hash) {
      workload.directory = inputs.workload->directory;
    }
    state_->masks = planner::OpenMasks(workload);
  } catch (const Error& error) {
    state_->problem = error.what();
  }
}

LoadView::~LoadView() = default;

Json LoadView::At(const PlanCell& cell) const {
  if (!state_->masks) return {{"missing", state_->problem}};
  const Plan& plan = *state_->plan;
  const Strategy& strategy = plan.strategies[cell.strategy];
  const Partition& partition = plan.partitions[strategy.partition];
  try {
    const LayerMasks masks = state_->masks->At(cell.step, cell.layer);
    const LayerMasks moved = planner::Permuted(masks, plan.layouts[strategy.layout], plan.shape);
    const HomeLayout home = MakeHomeLayout(plan.shape, partition.ranks);
    const std::vector<std::int64_t> blocks = BlocksPerRank(
        planner::BuildLayerVolumes(plan.shape, moved, partition, strategy, home, plan.dtype));
    Json charts = Json::array();
    for (const Family family : {Family::kUlysses, Family::kRing}) {
      charts.push_back(PlainChart(family, plan.shape, masks, partition.ranks, plan.dtype));
    }
    charts.push_back(ChartJson(fmt::format("This plan: {}", LabelOf(strategy, plan)), blocks));
    return {{"ranks", partition.ranks}, {"mean", MeanOf(blocks)}, {"charts", charts}};
  } catch (const Error& error) {
    return {{"missing", error.what()}};
  }
}

}  // namespace dbsp::reports
