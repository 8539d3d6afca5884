// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/mask_source.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "core/workload_cells.h"
#include "planner/workload/rules/rule.h"

namespace dbsp::planner {
namespace {

// Largest number of blocks of a mask: positions of seeded masks have 32 bits.
constexpr std::int64_t kMaxBlocks = (1LL << 32) - 1;

class RuleSource : public MaskSource {
 public:
  RuleSource(const Workload& workload, std::optional<int> pass) : layers_(workload.model.layers) {
    if (const Status size = CheckSize(workload.model); !size.ok()) {
      Fail(ErrorCode::kInvalidArgument, "workload '{}': {}", workload.model.name, size.message());
    }
    rule_of_ = RuleIndices(workload.model, workload.assignments);
    RuleContext context{workload.model, workload.block, workload.directory};
    context.pass = pass;
    RequireBlockLimit(workload);
    for (const MaskRule& rule : workload.rules) {
      masks_.push_back(FindRule(rule.rule).Open(context, rule));
    }
  }

  LayerMasks At(int step, int layer) override {
    return masks_[Index(step, layer)]->Make(step, layer);
  }

  [[nodiscard]] std::string KeyAt(int step, int layer) const override {
    const std::size_t index = Index(step, layer);
    const std::string key = masks_[index]->Key(step, layer);
    return key.empty() ? key : fmt::format("{}:{}", index, key);
  }

  std::vector<std::int64_t> ActiveBlocksAt(int step, int layer) override {
    return masks_[Index(step, layer)]->ActiveBlocks(step, layer);
  }

  [[nodiscard]] int FineQueriesAt(int step, int layer) const override {
    return masks_[Index(step, layer)]->FineQueries();
  }
  FineMasks FineAt(int step, int layer) override {
    return masks_[Index(step, layer)]->MakeFine(step, layer);
  }
  FineCounts FineCountsAt(int step, int layer) override {
    return masks_[Index(step, layer)]->CountFine(step, layer);
  }

  [[nodiscard]] bool HasMarginalAt(int step, int layer) const override {
    return masks_[Index(step, layer)]->HasMarginal();
  }
  LayerMasks MarginalAt(int step, int layer) override {
    return masks_[Index(step, layer)]->MakeMarginal(step, layer);
  }

  [[nodiscard]] std::vector<std::string> Describe(std::size_t rule) const override {
    return masks_.at(rule)->Describe();
  }

 private:
  [[nodiscard]] std::size_t Index(int step, int layer) const {
    const int rule = rule_of_.at(static_cast<std::size_t>(step) * layers_ + layer);
    if (rule >= 0) return static_cast<std::size_t>(rule);
    Fail(ErrorCode::kInvalidArgument, "no mask rule for step {}, layer {}", step, layer);
  }

  std::size_t layers_;
  std::vector<int> rule_of_;  ///< [steps * layers]
  std::vector<std::unique_ptr<RuleMasks>> masks_;
};

}  // namespace

std::vector<std::int64_t> MaskSource::ActiveBlocksAt(int step, int layer) {
  std::vector<std::int64_t> counts;
  for (const BlockMaskPtr& mask : At(step, layer).head) counts.push_back(mask->Count());
  return counts;
}

int MaskSource::FineQueriesAt(int /*step*/, int /*layer*/) const { return 0; }

FineMasks MaskSource::FineAt(int step, int layer) {
  Fail(ErrorCode::kInternal, "step {}, layer {} has no lists of keys", step, layer);
}

bool MaskSource::HasMarginalAt(int /*step*/, int /*layer*/) const { return false; }

LayerMasks MaskSource::MarginalAt(int step, int layer) {
  Fail(ErrorCode::kInternal, "step {}, layer {} has no classes of SLA", step, layer);
}

FineCounts MaskSource::FineCountsAt(int step, int layer) {
  FineCounts counts;
  const FineMasks fine = FineAt(step, layer);
  for (const BlockMaskPtr& mask : fine.bits.head) counts.Add(*mask, fine.queries);
  return counts;
}

std::vector<std::string> MaskSource::Describe(std::size_t /*rule*/) const { return {}; }

void RequireBlockLimit(const Workload& workload) {
  const AttentionShape shape = workload.shape();
  if (static_cast<std::int64_t>(shape.q_blocks()) * shape.k_blocks() <= kMaxBlocks) return;
  Fail(ErrorCode::kInvalidArgument,
       "workload '{}': {} x {} blocks per head, at most {} in all; use larger blocks",
       workload.model.name,
       shape.q_blocks(),
       shape.k_blocks(),
       kMaxBlocks);
}

bool PositionsAreReal(const MaskRule& rule) { return FindRule(rule.rule).PositionsAreReal(); }

std::unique_ptr<MaskSource> OpenMasks(const Workload& workload, std::optional<int> pass) {
  return std::make_unique<RuleSource>(workload, pass);
}

bool PassesDiffer(const Workload& workload) {
  return std::ranges::any_of(workload.rules, [&](const MaskRule& rule) {
    return FindRule(rule.rule).PassesDiffer(workload.model, rule);
  });
}

}  // namespace dbsp::planner
