// SPDX-License-Identifier: Apache-2.0
// Numbers that db-SP's own functions gave. docs/results/planner.md holds the same tables.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>

#include "core/arrays/array.h"
#include "planner/placement/families.h"
#include "planner/placement/head_balance.h"
#include "planner/timeline/barrier.h"
#include "planner/workload/mask_flag.h"
#include "planner/workload/mask_source.h"
#include "planner/workload/presets.h"
#include "tests/shared_data.h"

namespace dbsp::planner {
namespace {

/// The tables have three decimal places.
constexpr double kHalfDigit = 0.00051;

struct Padded {
  AttentionShape shape;
  LayerMasks masks;
};

/// Eight heads that share the preset's radial mask, padded with empty blocks to a multiple of 8.
Padded RadialHeads(const std::string& preset) {
  Workload workload;
  workload.model = ModelPreset(preset);
  ApplyMaskFlag("radial", workload);
  const BlockMask mask = *OpenMasks(workload)->At(workload.model.steps - 1, 1).head[0];
  const int blocks = (mask.rows() + 7) / 8 * 8;
  auto padded = std::make_shared<BlockMask>(blocks, blocks);
  for (int i = 0; i < mask.rows(); ++i) {
    std::ranges::copy(mask.row(i), padded->mutable_row(i).begin());
  }
  Padded out;
  out.shape = {8, 128, static_cast<std::int64_t>(blocks) * 128, {128, 128}};
  out.masks.head.assign(8, padded);
  return out;
}

struct Row {
  const char* preset;
  /// U4R2, U2R4, U1R8: contiguous, db-SP without reward, with reward 2, strided.
  std::array<std::array<double, 4>, 3> rho;
};

TEST(DbspNumbersTest, RadialMasksGiveTheMeasuredImbalance) {
  const std::vector<Row> table{{"wan2.1-t2v-14b-480p",
                                {{{1.103, 1.004, 1.008, 1.008},
                                  {1.297, 1.016, 1.050, 1.027},
                                  {1.698, 1.045, 1.122, 1.061}}}},
                               {"wan2.1-t2v-14b-720p",
                                {{{1.149, 1.001, 1.005, 1.013},
                                  {1.436, 1.007, 1.019, 1.019},
                                  {2.002, 1.023, 1.064, 1.039}}}},
                               {"hunyuanvideo-768p-117f",
                                {{{1.004, 1.000, 1.001, 1.000},
                                  {1.069, 1.005, 1.054, 1.012},
                                  {1.110, 1.009, 1.071, 1.026}}}}};
  for (const Row& row : table) {
    const auto [shape, masks] = RadialHeads(row.preset);
    const HomeLayout home = MakeHomeLayout(shape, 8);
    for (std::size_t d = 0; d < 3; ++d) {
      const int ring = 2 << d;
      const int ulysses = 8 / ring;
      SCOPED_TRACE(::testing::Message() << row.preset << " U" << ulysses << "R" << ring);
      const auto make = [&, &s = shape, &m = masks](Family family, double reward) {
        return MakePartition(family, s, m, 8, ulysses, ring, home, {reward});
      };
      Partition strided = make(Family::kUsp, 0);
      for (HeadGroup& group : strided.groups) {
        for (std::size_t i = 0; i < group.row_owner.size(); ++i) {
          group.row_owner[i] = group.col_owner[i] = static_cast<int>(i) % ring;
        }
      }
      EXPECT_NEAR(BarrierRho(masks, make(Family::kUsp, 0)), row.rho[d][0], kHalfDigit);
      EXPECT_NEAR(BarrierRho(masks, make(Family::kDbsp, 0)), row.rho[d][1], kHalfDigit);
      EXPECT_NEAR(BarrierRho(masks, make(Family::kDbsp, 2)), row.rho[d][2], kHalfDigit);
      EXPECT_NEAR(BarrierRho(masks, strided), row.rho[d][3], kHalfDigit);
    }
  }
}

struct MeanAndWorst {
  double mean = 0;
  double worst = 0;
};

/// Max over mean of every (step, layer)'s head counts, split over `ranks`.
MeanAndWorst OverTrace(
    const Array& counts,
    int ranks,
    const std::function<std::vector<int>(std::span<const std::int64_t>, int)>& split) {
  const auto heads = static_cast<std::size_t>(counts.shape[2]);
  const std::int64_t pairs = counts.shape[0] * counts.shape[1];
  MeanAndWorst out;
  for (std::int64_t pair = 0; pair < pairs; ++pair) {
    std::vector<std::int64_t> weights(heads);
    for (std::size_t h = 0; h < heads; ++h) {
      weights[h] = counts.Int(pair * counts.shape[2] + static_cast<std::int64_t>(h));
    }
    const double rho = MaxOverMean(weights, split(weights, ranks), ranks);
    out.mean += rho / static_cast<double>(pairs);
    out.worst = std::max(out.worst, rho);
  }
  return out;
}

TEST(DbspNumbersTest, MeasuredHeadCountsGiveTheMeasuredImbalance) {
  const auto path = dbsp::testing::SharedData("wan14b_sparge_density/head_density_30x40x40.npy");
  if (path.empty()) GTEST_SKIP() << dbsp::testing::kNoSharedData;
  const Array counts = LoadArray(path);
  ASSERT_EQ(counts.shape, (std::vector<std::int64_t>{30, 40, 40}));
  const auto contiguous = [](std::span<const std::int64_t> weights, int parts) {
    return ContiguousOwners(static_cast<int>(weights.size()), parts);
  };
  const auto greedy = [](std::span<const std::int64_t> weights, int parts) {
    return GreedyOwners(weights, parts);
  };
  const MeanAndWorst contiguous8 = OverTrace(counts, 8, contiguous);
  EXPECT_NEAR(contiguous8.mean, 1.402, kHalfDigit);
  EXPECT_NEAR(contiguous8.worst, 2.105, kHalfDigit);
  const MeanAndWorst contiguous4 = OverTrace(counts, 4, contiguous);
  EXPECT_NEAR(contiguous4.mean, 1.218, kHalfDigit);
  EXPECT_NEAR(contiguous4.worst, 1.798, kHalfDigit);
  const MeanAndWorst greedy8 = OverTrace(counts, 8, greedy);
  EXPECT_NEAR(greedy8.mean, 1.025, kHalfDigit);
  EXPECT_NEAR(greedy8.worst, 1.132, kHalfDigit);
  const MeanAndWorst greedy4 = OverTrace(counts, 4, greedy);
  EXPECT_NEAR(greedy4.mean, 1.006, kHalfDigit);
  EXPECT_NEAR(greedy4.worst, 1.031, kHalfDigit);
}

}  // namespace
}  // namespace dbsp::planner
