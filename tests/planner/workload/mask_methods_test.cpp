// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "planner/workload/mask_flag.h"
#include "planner/workload/mask_source.h"
#include "planner/workload/presets.h"
#include "planner/workload/rules/sta.h"
#include "planner/workload/rules/svg1.h"
#include "planner/workload/rules/synthetic.h"
#include "tests/core/temporary_folder.h"
#include "tests/measured_data.h"

namespace dbsp::planner {
namespace {

Workload Make(const std::string& preset, const std::string& flag) {
  Workload workload;
  workload.model = ModelPreset(preset);
  ApplyMaskFlag(flag, workload);
  return workload;
}

double Round(double value, int digits) {
  const double scale = std::pow(10.0, digits);
  return std::round(value * scale) / scale;
}

TEST(MaskSvg1Test, DensitiesEqualTheReference) {
  const Workload wan = Make("wan2.1-t2v-14b-720p", "svg1");
  const Workload hunyuan = Make("hunyuanvideo-768p-117f", "svg1");
  EXPECT_EQ(Round(OpenMasks(wan)->At(49, 39).head[0]->Density(), 2), 0.34);
  EXPECT_EQ(Round(OpenMasks(hunyuan)->At(49, 59).head[0]->Density(), 3), 0.249);
  EXPECT_EQ(wan.RuleAt(9, 5).rule, "dense");
  EXPECT_EQ(wan.RuleAt(10, 1).rule, "svg1");
  EXPECT_EQ(hunyuan.RuleAt(4, 5).rule, "dense");
  EXPECT_EQ(hunyuan.RuleAt(5, 1).rule, "svg1");
  EXPECT_EQ(hunyuan.RuleAt(40, 0).rule, "dense");
}

TEST(MaskSvg1Test, BlocksAreActiveIfAndOnlyIfTheyHoldAnActivePair) {
  const std::vector<BlockSize> blocks{{64, 64}, {128, 48}, {30, 100}};
  for (const Svg1Form form : {Svg1Form::kFirstFrame, Svg1Form::kText}) {
    for (const BlockSize block : blocks) {
      const Grid grid{9, 7, 11};
      const int text = form == Svg1Form::kText ? 21 : 0;
      const auto video = static_cast<int>(grid.tokens());
      const int tokens = video + text;
      const std::int64_t reach = Svg1Reach(grid, text, 0.6, form);
      const BlockMask mask = Svg1Mask(grid, text, 0.6, form, block);
      BlockMask expected(mask.rows(), mask.cols());
      for (int q = 0; q < tokens; ++q) {
        for (int k = 0; k < tokens; ++k) {
          const bool beside =
              form == Svg1Form::kText ? q >= video || k >= video : k < grid.height * grid.width;
          if (beside || std::abs(q - k) <= reach) expected.Set(q / block.q, k / block.k);
        }
      }
      EXPECT_EQ(mask, expected) << block.q << "x" << block.k;
    }
  }
}

/// Where the half-width is a multiple of 128, the order of the operations decides the rounding.
/// Values of Sparse-VideoGen's formula, computed with Python's doubles.
TEST(MaskSvg1Test, WidthsAreRoundedAsTheReferenceRoundsThem) {
  constexpr Svg1Form kFirst = Svg1Form::kFirstFrame;
  EXPECT_EQ(Svg1Reach({3, 48, 80}, 0, 0.64, kFirst), 4608);
  EXPECT_EQ(Svg1Reach({7, 48, 80}, 0, 0.51, kFirst), 8064);
  EXPECT_EQ(Svg1Reach({9, 48, 80}, 0, 0.51, kFirst), 10496);
  EXPECT_EQ(Svg1Reach({12, 45, 80}, 0, 0.64, kFirst), 17280);
  constexpr Svg1Form kText = Svg1Form::kText;
  EXPECT_EQ(Svg1Reach({3, 48, 80}, 0, 0.84, kText), 6911);
  EXPECT_EQ(Svg1Reach({10, 16, 24}, 0, 0.99, kText), 3327);
  EXPECT_EQ(Svg1Reach({3, 16, 24}, 128, 0.84, kText), 511);
  EXPECT_EQ(Svg1Reach({8, 16, 24}, 128, 0.44, kText), 511);
  EXPECT_EQ(Svg1Reach({11, 16, 32}, 128, 0.76, kText), 2559);
}

TEST(MaskSvg1Test, TextThatExceedsTheDensityIsRefused) {
  EXPECT_THROW(static_cast<void>(Svg1Reach({2, 4, 4}, 32, 0.25, Svg1Form::kText)), Error);
}

TEST(MaskStaTest, WindowsFollowTheClampRule) {
  for (int n = 1; n <= 10; ++n) {
    for (int k = 1; k <= n; ++k) {
      for (int q = 0; q < n; ++q) {
        int kept = 0;
        for (int kv = 0; kv < n; ++kv) kept += StaKeeps(q, kv, n, k) ? 1 : 0;
        // An even window below n is one tile wider. A window of an even n covers the whole axis.
        EXPECT_EQ(kept, k == n ? n : k % 2 == 0 ? std::min(k + 1, n) : k) << n << k << q;
      }
    }
  }
  EXPECT_TRUE(StaKeeps(0, 2, 10, 5));  // clamped to centre 2: tiles 0..4
  EXPECT_TRUE(StaKeeps(0, 4, 10, 5));
  EXPECT_FALSE(StaKeeps(0, 5, 10, 5));
}

TEST(MaskStaTest, MasksHaveTheTilesOfTheClampRule) {
  for (const Grid& tiles : {Grid{3, 2, 5}, Grid{1, 4, 3}, Grid{5, 1, 1}, Grid{2, 3, 1}}) {
    for (const StaWindow& window :
         {StaWindow{1, 1, 1}, StaWindow{3, 1, 3}, StaWindow{2, 2, 4}, StaWindow{9, 3, 5}}) {
      const BlockMask mask = StaMask(tiles, window, 0, {384, 384});
      const int plane = tiles.height * tiles.width;
      for (int q = 0; q < mask.rows(); ++q) {
        for (int kv = 0; kv < mask.cols(); ++kv) {
          const bool kept =
              StaKeeps(q / plane, kv / plane, tiles.frames, window.frames) &&
              StaKeeps(
                  q % plane / tiles.width, kv % plane / tiles.width, tiles.height, window.height) &&
              StaKeeps(q % tiles.width, kv % tiles.width, tiles.width, window.width);
          EXPECT_EQ(mask.Get(q, kv), kept) << q << " " << kv;
        }
      }
    }
  }
}

TEST(MaskStaTest, TextRowsAndColumnsAreActiveAndFinerBlocksCoverTheSameTokens) {
  const Grid tiles{2, 3, 2};
  const BlockMask coarse = StaMask(tiles, {1, 3, 1}, 100, {384, 384});
  const BlockMask fine = StaMask(tiles, {1, 3, 1}, 100, {128, 64});
  ASSERT_EQ(coarse.rows(), 13);
  ASSERT_EQ(fine.rows(), 37);
  ASSERT_EQ(fine.cols(), 74);
  for (int i = 0; i < fine.rows(); ++i) {
    for (int j = 0; j < fine.cols(); ++j) {
      EXPECT_EQ(fine.Get(i, j), coarse.Get(i / 3, j / 6)) << i << "," << j;
    }
  }
  for (int i = 0; i < 13; ++i) {
    EXPECT_TRUE(coarse.Get(i, 12));
    EXPECT_TRUE(coarse.Get(12, i));
    EXPECT_EQ(coarse.RowCount(i), i < 12 ? 3 + 1 : 13);
  }
}

TEST(MaskStaTest, DensitiesEqualThoseOfThePublishedStrategies) {
  struct Case {
    const char* preset;
    const char* name;
    int first_sparse;
    double sparse;
    double overall;
  };
  const std::vector<Case> cases{{"wan2.1-t2v-14b-768p-69f", "wan", 12, 0.165, 0.37},
                                {"hunyuanvideo-768p-117f", "hunyuan", 15, 0.165, 0.42}};
  const testing::TemporaryFolder folder;
  for (const Case& c : cases) {
    const auto path = testing::WriteStaJson(c.name, folder.path());
    SCOPED_TRACE(c.preset);
    const Workload workload = Make(c.preset, "sta:file=" + path.string());
    const AttentionShape shape = workload.shape();
    // Video rows and columns only, as published; text is always active.
    const std::int64_t video = workload.model.grid.tokens() / shape.block.q;
    const std::int64_t text_blocks =
        shape.q_blocks() * static_cast<std::int64_t>(shape.q_blocks()) - video * video;
    const auto source = OpenMasks(workload);
    double sparse = 0;
    double overall = 0;
    for (int step = 0; step < workload.model.steps; ++step) {
      for (int layer = 0; layer < workload.model.layers; ++layer) {
        for (const std::int64_t kept : source->ActiveBlocksAt(step, layer)) {
          const double density =
              static_cast<double>(kept - text_blocks) / static_cast<double>(video * video);
          overall += density;
          if (step < c.first_sparse) {
            EXPECT_EQ(density, 1.0);
          } else {
            sparse += density;
            EXPECT_GE(Round(density, 2), 0.10);
            EXPECT_LE(Round(density, 2), 0.20);
          }
        }
      }
    }
    const double heads = static_cast<double>(workload.model.layers) * workload.model.heads;
    EXPECT_NEAR(sparse / heads / (workload.model.steps - c.first_sparse), c.sparse, 0.005);
    EXPECT_EQ(Round(overall / heads / workload.model.steps, 2), c.overall);
  }
}

TEST(MaskStaTest, KeysAndCountsAgreeWithTheMasks) {
  const testing::TemporaryFolder folder;
  const auto path = testing::WriteStaJson("wan", folder.path());
  const auto source = OpenMasks(Make("wan2.1-t2v-14b-768p-69f", "sta:file=" + path.string()));
  for (const int step : {0, 13, 27, 49}) {
    const LayerMasks masks = source->At(step, 7);
    std::vector<std::int64_t> counts;
    for (const BlockMaskPtr& mask : masks.head) counts.push_back(mask->Count());
    EXPECT_EQ(source->ActiveBlocksAt(step, 7), counts);
    EXPECT_EQ(source->KeyAt(step, 7) == source->KeyAt(0, 7), masks.head == source->At(0, 7).head);
  }
}

TEST(MaskVsaTest, EveryRowOfEveryHeadHasTheSameNumberOfActiveTiles) {
  Workload workload;
  workload.model = ModelPreset("wan2.1-t2v-1.3b-480p");
  workload.model.grid = {4, 8, 12};
  workload.model.heads = 3;
  workload.block = DefaultBlock("vsa:sparsity=0.75", workload.model);
  EXPECT_EQ(workload.block, (BlockSize{64, 64}));
  ApplyMaskFlag("vsa:sparsity=0.75,seed=5", workload);
  const auto source = OpenMasks(workload);
  const LayerMasks masks = source->At(2, 3);
  ASSERT_EQ(masks.rows(), 6);
  for (const BlockMaskPtr& mask : masks.head) {
    for (int i = 0; i < mask->rows(); ++i) EXPECT_EQ(mask->RowCount(i), 2);  // ceil(0.25 * 6)
    EXPECT_EQ(mask->Count(), source->ActiveBlocksAt(2, 3)[0]);
  }
  EXPECT_NE(*masks.head[0], *masks.head[1]);
  EXPECT_EQ(*masks.head[0], *OpenMasks(workload)->At(2, 3).head[0]);
  workload.model.text_tokens = 100;
  ApplyMaskFlag("vsa:sparsity=0.75", workload);
  const auto with_text = OpenMasks(workload);
  const LayerMasks text = with_text->At(0, 0);
  EXPECT_EQ(text.head[0]->RowCount(0), 2 + 2);
  EXPECT_EQ(text.head[0]->RowCount(7), 8);
  EXPECT_EQ(text.head[0]->Count(), with_text->ActiveBlocksAt(0, 0)[0]);
}

/// FastVideo: prod ceil(side / 4) tiles, k = max(1, min(ceil((1 - S) tiles), tiles)).
TEST(MaskVsaTest, GridsThatAreNoMultipleOfTheTileArePadded) {
  struct Case {
    Grid grid;
    const char* flag;
    int tiles;
    std::int64_t blocks;  ///< of a head
  };
  for (const Case& c : {Case{{21, 30, 52}, "vsa:sparsity=0.9", 624, 39312},
                        Case{{21, 45, 80}, "vsa:sparsity=0.9", 1440, 207360},
                        Case{{31, 22, 40}, "vsa:sparsity=0.9", 480, 23040},
                        Case{{16, 28, 52}, "vsa:sparsity=0.8", 364, 364 * 73},
                        Case{{4, 8, 8}, "vsa:sparsity=1", 4, 4},
                        Case{{1, 8, 9}, "vsa:sparsity=0", 6, 36},
                        Case{{5, 1, 1}, "vsa:sparsity=0.99", 2, 2}}) {
    Workload workload;
    workload.model.grid = c.grid;
    workload.block = {64, 64};
    const std::vector<std::string> notes = ApplyMaskFlag(c.flag, workload);
    EXPECT_EQ(notes.empty(), c.grid == workload.model.grid);
    EXPECT_EQ(workload.shape().q_blocks(), c.tiles);
    EXPECT_EQ(OpenMasks(workload)->ActiveBlocksAt(0, 0)[0], c.blocks);
    workload.model.grid = c.grid;  // as in a file of an older version
    if (!notes.empty()) {
      EXPECT_THROW(static_cast<void>(OpenMasks(workload)), Error);
    }
  }
}

TEST(MaskVsaTest, CountsAreThoseOfTheMasksForEveryBlockAndSequence) {
  for (const BlockSize block : {BlockSize{64, 64}, BlockSize{32, 16}, BlockSize{64, 8}}) {
    for (const Grid& grid : {Grid{4, 8, 12}, Grid{3, 5, 7}, Grid{1, 1, 1000}, Grid{1, 1, 40}}) {
      for (const int text : {0, 21, 100}) {
        Workload workload;
        workload.model.grid = grid;
        workload.model.text_tokens = text;
        workload.block = block;
        ApplyMaskFlag("vsa:sparsity=0.7", workload);
        const auto source = OpenMasks(workload);
        EXPECT_EQ(source->ActiveBlocksAt(0, 0)[0], source->At(0, 0).head[0]->Count());
      }
    }
  }
}

TEST(MaskSyntheticTest, CountsAreExactForEveryPattern) {
  for (const auto& [rows, cols] :
       std::vector<std::pair<int, int>>{{1, 1}, {5, 9}, {70, 33}, {64, 130}}) {
    for (const Pattern pattern : {Pattern::kRandom, Pattern::kBand}) {
      const std::int64_t all = static_cast<std::int64_t>(rows) * cols;
      for (std::int64_t kept = 0; kept <= all; kept += 1 + all / 13) {
        Prng prng{7, static_cast<std::uint64_t>(kept)};
        EXPECT_EQ(SyntheticMask(rows, cols, kept, pattern, prng).Count(), kept);
      }
    }
  }
}

TEST(MaskSyntheticTest, BandsContainTheDiagonalAndRandomMasksCoverAllBlocks) {
  Prng prng{1};
  const BlockMask band = SyntheticMask(40, 80, 800, Pattern::kBand, prng);
  for (int i = 0; i < 40; ++i) EXPECT_TRUE(band.Get(i, 2 * i));
  BlockMask seen(20, 20);
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    Prng each{seed};
    seen.Or(SyntheticMask(20, 20, 100, Pattern::kRandom, each));
  }
  EXPECT_EQ(seen.Count(), 400);
}

TEST(MaskRandomTest, DensityIsExactAndEveryCellAndHeadDiffers) {
  Workload workload = Make("wan2.1-t2v-1.3b-480p", "random:density=0.3,seed=1");
  workload.model.grid = {2, 32, 40};
  const auto source = OpenMasks(workload);
  const LayerMasks masks = source->At(1, 2);
  std::set<std::vector<std::uint64_t>> distinct;
  for (const BlockMaskPtr& mask : masks.head) {
    EXPECT_EQ(mask->Count(), std::llround(0.3 * 20 * 20));
    distinct.insert({mask->words().begin(), mask->words().end()});
  }
  EXPECT_EQ(distinct.size(), 12U);
  EXPECT_NE(*source->At(1, 3).head[0], *masks.head[0]);
  EXPECT_NE(*source->At(2, 2).head[0], *masks.head[0]);
  EXPECT_EQ(*OpenMasks(workload)->At(1, 2).head[4], *masks.head[4]);
}

TEST(MaskRandomTest, SpreadMakesHeadsDifferAroundTheDensity) {
  const auto source =
      OpenMasks(Make("wan2.1-t2v-14b-480p", "random:density=0.4,spread=0.5,pattern=band"));
  const std::vector<std::int64_t> kept = source->ActiveBlocksAt(3, 3);
  const auto [low, high] = std::minmax_element(kept.begin(), kept.end());
  EXPECT_GE(static_cast<double>(*low) / 65536, 0.2);
  EXPECT_LE(static_cast<double>(*high) / 65536, 0.6);
  EXPECT_GT(*high - *low, 65536 / 10);
  EXPECT_EQ(source->At(3, 3).head[5]->Count(), kept[5]);
}

}  // namespace
}  // namespace dbsp::planner
