// SPDX-License-Identifier: Apache-2.0
#include "replay/prediction_check.h"

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "core/error.h"
#include "planner/timeline/layer_volumes.h"
#include "planner/workload/token_layout.h"

namespace dbsp::replay {
namespace {

/// Compares one prediction with the volumes of its strategy on the masks of one cell.
class PredictionChecker {
 public:
  PredictionChecker(const Plan& plan,
                    const PlanCell& cell,
                    const planner::LayerVolumes& volumes,
                    const std::string& origin)
      : prediction_(plan.predictions[cell.prediction]),
        cell_(cell),
        volumes_(volumes),
        origin_(origin) {}

  void Check(bool own_masks) const {
    Require("bytes_per_rank", prediction_.bytes_per_rank, volumes_.MaxBytesSent());
    for (std::size_t i = 0; i < prediction_.segments.size(); ++i) {
      CheckSegment(i, own_masks);
    }
    if (!own_masks) return;
    for (std::size_t r = 0; r < prediction_.active_blocks.size(); ++r) {
      std::int64_t blocks = 0;
      for (const auto& step : volumes_.attention) blocks += step[r].active_blocks;
      Require(fmt::format("active_blocks[{}]", r), prediction_.active_blocks[r], blocks);
    }
  }

 private:
  /// Bytes that the masks give a segment; missing when they have no such round or step.
  [[nodiscard]] std::optional<std::int64_t> BytesOf(const Segment& s) const {
    const auto index = static_cast<std::size_t>(s.index);
    switch (s.kind) {
      case SegmentKind::kPack:
      case SegmentKind::kExchange:
      case SegmentKind::kUnpack: {
        if (index >= volumes_.rounds.size()) return std::nullopt;
        const planner::TrafficMatrix& round = volumes_.rounds[index];
        if (s.kind == SegmentKind::kPack) return round.Packed(s.rank);
        return s.kind == SegmentKind::kExchange ? round.Sent(s.rank) : round.Unpacked(s.rank);
      }
      case SegmentKind::kHop:
        if (index >= volumes_.hop_bytes.size()) return std::nullopt;
        return volumes_.hop_bytes[index][static_cast<std::size_t>(s.rank)];
      case SegmentKind::kAttention:
      case SegmentKind::kMerge:
        if (index >= volumes_.attention.size()) return std::nullopt;
        return 0;
    }
    return std::nullopt;
  }

  void CheckSegment(std::size_t i, bool own_masks) const {
    const Segment& segment = prediction_.segments[i];
    const auto bytes = BytesOf(segment);
    if (!bytes) {
      Wrong(fmt::format("segments[{}][2]", i),
            fmt::format("{} {} does not exist", NameOf(segment.kind), segment.index));
    }
    if (own_masks) Require(fmt::format("segments[{}][5]", i), segment.bytes, *bytes);
  }

  void Require(const std::string& key, std::int64_t found, std::int64_t expected) const {
    if (found != expected) Wrong(key, fmt::format("expected {}, found {}", expected, found));
  }
  [[noreturn]] void Wrong(const std::string& key, const std::string& what) const {
    Fail(ErrorCode::kCorruptInput,
         "{}: key 'predictions[{}].{}': {} for the masks of step {} layer {}; the plan is corrupt "
         "or was made for other masks: make it again with dbsp-tune",
         origin_,
         cell_.prediction,
         key,
         what,
         cell_.step,
         cell_.layer);
  }

  const Prediction& prediction_;
  const PlanCell& cell_;
  const planner::LayerVolumes& volumes_;
  const std::string& origin_;
};

}  // namespace

void CheckPredictions(const Plan& plan,
                      planner::MaskSource& masks,
                      std::span<const SelectedCell> cells,
                      bool own_masks,
                      const std::string& origin) {
  const HomeLayout home = MakeHomeLayout(plan.shape, plan.pass_ranks());
  for (const SelectedCell& selected : cells) {
    const PlanCell& cell = plan.cells.at(selected.cell);
    const Strategy& strategy = plan.strategies.at(cell.strategy);
    const LayerMasks in_order = planner::Permuted(
        masks.At(cell.step, cell.layer), plan.layouts.at(strategy.layout), plan.shape);
    constexpr std::int64_t kMustMove = 0;  // not compared
    const planner::LayerVolumes volumes =
        planner::BuildLayerVolumes(plan.shape,
                                   in_order,
                                   plan.partitions.at(strategy.partition),
                                   strategy,
                                   home,
                                   plan.dtype,
                                   kMustMove);
    PredictionChecker(plan, cell, volumes, origin).Check(own_masks);
  }
}

}  // namespace dbsp::replay
