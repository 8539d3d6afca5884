// SPDX-License-Identifier: Apache-2.0
// The masks of one cell of a plan, and which rank of a pass group computes each head and row.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base64.h"
#include "core/error.h"
#include "core/workload.h"
#include "planner/workload/mask_source.h"
#include "reports/document_parts.h"

namespace dbsp::reports {
namespace {

/// The cell that takes most time; nullptr for a plan without cells.
const PlanCell* HeaviestCell(const Plan& plan) {
  const PlanCell* best = nullptr;
  for (const PlanCell& cell : plan.cells) {
    if (best == nullptr ||
        plan.predictions[cell.prediction].total_ns > plan.predictions[best->prediction].total_ns) {
      best = &cell;
    }
  }
  return best;
}

/// [(owner, number of rows)] of equal neighbours, as a flat list.
Json RunsOf(const std::vector<int>& owners) {
  Json runs = Json::array();
  for (std::size_t i = 0; i < owners.size();) {
    std::size_t end = i;
    while (end < owners.size() && owners[end] == owners[i]) ++end;
    runs.push_back(owners[i]);
    runs.push_back(end - i);
    i = end;
  }
  return runs;
}

/// Appends the mask row by row; every row begins a byte, bit j of a row is bit j % 8 of its byte.
void AppendBits(const BlockMask& mask, std::string& out) {
  const auto bytes = static_cast<std::size_t>((mask.cols() + 7) / 8);
  for (int i = 0; i < mask.rows(); ++i) {
    const auto words = mask.row(i);
    for (std::size_t b = 0; b < bytes; ++b) {
      out += static_cast<char>((words[b / 8] >> (8 * (b % 8))) & 0xffU);
    }
  }
}

Json GroupsJson(const Partition& partition) {
  Json groups = Json::array();
  for (const HeadGroup& group : partition.groups) {
    groups.push_back(
        {{"heads", group.heads}, {"ranks", group.ranks}, {"row_runs", RunsOf(group.row_owner)}});
  }
  return groups;
}

Json Missing(const std::string& why) { return {{"missing", why}}; }

}  // namespace

Json MasksJson(const PlanInput& input, const ReportLimits& limits) {
  const Plan& plan = input.plan;
  const PlanCell* cell = HeaviestCell(plan);
  if (cell == nullptr) return Missing("The plan has no cells.");
  const std::int64_t q = plan.shape.q_blocks();
  const std::int64_t k = plan.shape.k_blocks();
  const std::size_t bytes = static_cast<std::size_t>(q) * static_cast<std::size_t>((k + 7) / 8);
  const auto heads = static_cast<std::size_t>(plan.shape.heads);
  const std::size_t shown = std::min(heads, limits.mask_bytes / std::max<std::size_t>(1, bytes));
  if (shown == 0) return Missing("A mask of this workload is larger than the page can hold.");
  Workload workload = WorkloadFromJson(plan.workload_json, input.name + ": workload");
  workload.directory = input.folder / plan.workload_directory;
  LayerMasks masks;
  bool passes_differ = false;
  try {
    passes_differ = planner::PassesDiffer(workload);
    masks = planner::OpenMasks(workload, passes_differ ? std::optional(0) : std::nullopt)
                ->At(cell->step, cell->layer);
  } catch (const Error& error) {
    return Missing(std::string("The masks cannot be made here: ") + error.what());
  }
  if (masks.heads() != plan.shape.heads || masks.rows() != q || masks.cols() != k) {
    return Missing("The masks of the workload do not have the shape of the plan.");
  }
  Json density = Json::array();
  std::string bits;
  bits.reserve(shown * bytes);
  for (std::size_t head = 0; head < heads; ++head) {
    density.push_back(masks.head[head]->Density());
    if (head < shown) AppendBits(*masks.head[head], bits);
  }
  const Strategy& strategy = plan.strategies[cell->strategy];
  const std::string& layout = plan.layouts[strategy.layout].name;
  return {{"step", cell->step},
          {"layer", cell->layer},
          {"q_blocks", q},
          {"k_blocks", k},
          {"heads", heads},
          {"shown_heads", shown},
          {"density", density},
          {"made_up", !planner::PositionsAreReal(workload.RuleAt(cell->step, cell->layer))},
          {"passes_differ", passes_differ},
          {"layout", layout},
          {"ranks", plan.pass_ranks()},
          {"groups", GroupsJson(plan.partitions[strategy.partition])},
          {"bits", Base64Encode(bits)}};
}

}  // namespace dbsp::reports
