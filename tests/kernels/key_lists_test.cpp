// SPDX-License-Identifier: Apache-2.0
// Key lists, predictors and features, compared with implementations that process one bit or one
// score at a time.
#include "kernels/key_lists.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <set>

#include "core/error.h"

namespace dbsp::kernels {
namespace {

/// Fine masks with scattered keys, runs, full rows and empty rows.
BlockMask RandomBits(int rows, int cols, std::mt19937_64& random) {
  BlockMask bits(rows, cols);
  for (int i = 0; i < rows; ++i) {
    const int kind = static_cast<int>(random() % 5);
    if (kind == 0 || cols == 0) continue;
    if (kind == 1) bits.SetRange(i, 0, cols);
    for (int n = 0; n < cols / 7 && kind == 2; ++n) {
      bits.Set(i, static_cast<int>(random() % static_cast<std::uint64_t>(cols)));
    }
    for (int n = 0; n < 4 && kind >= 3; ++n) {
      const int begin = static_cast<int>(random() % static_cast<std::uint64_t>(cols));
      const int length = kind == 3 ? 8 : 1 + static_cast<int>(random() % 300);
      bits.SetRange(i, begin, std::min(cols, begin + length));
    }
  }
  return bits;
}

TEST(KeyListsTest, ListsNameTheSetBitsInOrder) {
  std::mt19937_64 random(1);
  for (int trial = 0; trial < 60; ++trial) {
    KeyLists lists;
    KeyLists expected;
    for (int head = 0; head < 2; ++head) {
      const BlockMask bits =
          RandomBits(static_cast<int>(random() % 5), static_cast<int>(random() % 400), random);
      AppendKeyLists(bits, lists);
      for (int i = 0; i < bits.rows(); ++i) {
        for (int j = 0; j < bits.cols(); ++j) {
          if (bits.Get(i, j)) expected.list.push_back(j);
        }
        expected.begin.push_back(static_cast<std::int32_t>(expected.list.size()));
      }
    }
    ASSERT_EQ(lists, expected) << "trial " << trial;
  }
}

TEST(KeyListsTest, PairsAndKeyBlocksAreTheOrOfTheirBits) {
  std::mt19937_64 random(2);
  for (int trial = 0; trial < 30; ++trial) {
    const BlockMask bits = RandomBits(
        1 + static_cast<int>(random() % 6), 1 + static_cast<int>(random() % 500), random);
    const BlockMask pairs = PairRows(bits);
    ASSERT_EQ(pairs.rows(), (bits.rows() + 1) / 2);
    for (int i = 0; i < pairs.rows(); ++i) {
      for (int j = 0; j < bits.cols(); ++j) {
        const bool low = bits.Get(2 * i, j);
        const bool high = 2 * i + 1 < bits.rows() && bits.Get(2 * i + 1, j);
        ASSERT_EQ(pairs.Get(i, j), low || high);
      }
    }
    for (const int side : {1, 16, 64, 128, 192}) {
      BlockMask expected(bits.rows(), (bits.cols() + side - 1) / side);
      for (int i = 0; i < bits.rows(); ++i) {
        for (int j = 0; j < bits.cols(); ++j) {
          if (bits.Get(i, j)) expected.Set(i, j / side);
        }
      }
      ASSERT_EQ(KeyBlocksOf(bits, side), expected) << "side " << side;
    }
  }
  EXPECT_THROW((void)KeyBlocksOf(BlockMask(1, 1), 48), Error);
  EXPECT_THROW((void)KeyBlocksOf(BlockMask(1, 1), 0), Error);
}

TEST(KeyListsTest, ArrangingKeepsTheKeysAndFillsAlignedGroupsFirst) {
  std::mt19937_64 random(3);
  for (int trial = 0; trial < 60; ++trial) {
    const BlockMask bits = RandomBits(4, 1000, random);
    KeyLists lists;
    AppendKeyLists(bits, lists);
    KeyLists arranged = lists;
    ArrangeRuns(arranged);
    ASSERT_EQ(arranged.begin, lists.begin);
    for (int r = 0; r < lists.rows(); ++r) {
      const auto row = arranged.row(r);
      std::vector<std::int32_t> sorted(row.begin(), row.end());
      std::sort(sorted.begin(), sorted.end());
      ASSERT_TRUE(std::equal(sorted.begin(), sorted.end(), lists.row(r).begin()));
      // Expected: the full pieces of every maximal run.
      std::size_t in_pieces = 0;
      for (int j = 0, run = 0; j <= bits.cols(); ++j) {
        if (j < bits.cols() && bits.Get(r, j)) {
          ++run;
        } else {
          in_pieces += static_cast<std::size_t>(run / kRunKeys) * kRunKeys;
          run = 0;
        }
      }
      for (std::size_t i = 0; i < in_pieces; i += kRunKeys) {
        ASSERT_EQ(row[i + kRunKeys - 1] - row[i], kRunKeys - 1);
      }
      // Every group of slots is ascending, so that the difference of its ends tells whether it is
      // consecutive.
      for (std::size_t i = 1; i < row.size(); ++i) {
        if (i != in_pieces) {
          ASSERT_LT(row[i - 1], row[i]);
        }
      }
    }
  }
}

struct Scored {
  std::vector<float> q, k;
  ScoreInput input;
};

Scored RandomScores(int queries, int keys, int dim, float spread, std::mt19937_64& random) {
  std::normal_distribution<float> normal(0.0F, spread);
  Scored made;
  made.q.resize(static_cast<std::size_t>(queries) * dim);
  made.k.resize(static_cast<std::size_t>(keys) * dim);
  for (float& x : made.q) x = normal(random);
  for (float& x : made.k) x = normal(random);
  made.input = {made.q, made.k, dim, 1.0F / std::sqrt(static_cast<float>(dim))};
  return made;
}

std::vector<double> Probabilities(const std::vector<double>& scores) {
  const double max = *std::max_element(scores.begin(), scores.end());
  double sum = 0.0;
  for (const double s : scores) sum += std::exp(s - max);
  std::vector<double> p;
  for (const double s : scores) p.push_back(std::exp(s - max) / sum);
  return p;
}

std::vector<double> ScoresOf(const Scored& made, const std::vector<double>& q) {
  const int dim = made.input.head_dim;
  std::vector<double> scores(made.k.size() / dim, 0.0);
  for (std::size_t j = 0; j < scores.size(); ++j) {
    for (int c = 0; c < dim; ++c) scores[j] += q[c] * made.k[j * dim + c];
    scores[j] *= made.input.scale;
  }
  return scores;
}

TEST(KeyListsTest, TheThresholdKeepsAKeyThatAnyQueryOfTheBlockGivesMore) {
  std::mt19937_64 random(4);
  for (const int q_block : {1, 3, 64}) {
    const Scored made = RandomScores(70, 131, 24, 1.5F, random);
    const float threshold = 0.5F / 131;
    const BlockMask got = KeysAboveThreshold(made.input, q_block, threshold);
    ASSERT_EQ(got.rows(), (70 + q_block - 1) / q_block);
    std::vector<double> largest(static_cast<std::size_t>(got.rows()) * 131, 0.0);
    for (int i = 0; i < 70; ++i) {
      const std::vector<double> q(made.q.begin() + i * 24, made.q.begin() + (i + 1) * 24);
      const std::vector<double> p = Probabilities(ScoresOf(made, q));
      for (int j = 0; j < 131; ++j) {
        double& at = largest[static_cast<std::size_t>(i / q_block) * 131 + j];
        at = std::max(at, p[j]);
      }
    }
    std::int64_t kept = 0;
    for (int b = 0; b < got.rows(); ++b) {
      for (int j = 0; j < 131; ++j) {
        const double p = largest[static_cast<std::size_t>(b) * 131 + j];
        // fp32 rounding of scores of a few units: within this distance both answers are right.
        if (std::abs(p / threshold - 1.0) < 1e-5) continue;
        ASSERT_EQ(got.Get(b, j), p > threshold) << b << ", " << j;
        kept += got.Get(b, j);
      }
    }
    EXPECT_GT(kept, 0);
    EXPECT_LT(kept, static_cast<std::int64_t>(got.rows()) * 131);
  }
}

/// The kept keys reach tau, no kept key is less probable than a dropped one, and without the least
/// probable kept keys tau is missed.
void ExpectTopCdf(const std::vector<double>& p, const BlockMask& bits, int row, double tau) {
  double kept = 0.0;
  double least = 2.0;
  double most_dropped = 0.0;
  for (std::size_t j = 0; j < p.size(); ++j) {
    if (bits.Get(row, static_cast<int>(j))) {
      kept += p[j];
      least = std::min(least, p[j]);
    } else {
      most_dropped = std::max(most_dropped, p[j]);
    }
  }
  double above_least = 0.0;
  for (std::size_t j = 0; j < p.size(); ++j) {
    if (bits.Get(row, static_cast<int>(j)) && p[j] > least * (1.0 + 1e-5)) above_least += p[j];
  }
  EXPECT_GE(kept, tau - 1e-4);
  EXPECT_GE(least, most_dropped * (1.0 - 1e-5));
  EXPECT_LT(above_least, tau + 1e-4);
}

TEST(KeyListsTest, TopCdfKeepsTheFewestMostProbableKeys) {
  std::mt19937_64 random(5);
  for (const float tau : {0.3F, 0.9F, 0.99F}) {
    for (const float spread : {0.3F, 1.0F, 3.0F}) {
      const int dim = 16;
      const Scored made = RandomScores(100, 257, dim, spread, random);
      const BlockMask got = KeysOfTopCdf(made.input, 64, tau);
      ASSERT_EQ(got.rows(), 2);
      for (int b = 0; b < 2; ++b) {
        std::vector<double> mean(dim, 0.0);
        const int first = b * 64;
        const int count = std::min(64, 100 - first);
        for (int i = first; i < first + count; ++i) {
          for (int c = 0; c < dim; ++c) mean[c] += made.q[static_cast<std::size_t>(i) * dim + c];
        }
        for (double& m : mean) m /= count;
        ExpectTopCdf(Probabilities(ScoresOf(made, mean)), got, b, tau);
      }
    }
  }
}

TEST(KeyListsTest, TopCdfKeepsTiesTogetherAndTheLargestAlone) {
  const auto kept = [](const std::vector<float>& scores, float tau) {
    std::vector<std::uint64_t> words((scores.size() + 63) / 64, 0);
    TopCdfRow(scores, tau, words);
    int count = 0;
    for (const std::uint64_t word : words) count += std::popcount(word);
    return count;
  };
  EXPECT_EQ(kept(std::vector<float>(100, 3.0F), 0.01F), 100);
  EXPECT_EQ(kept({0.0F, 20.0F, 1.0F}, 0.9F), 1);
  EXPECT_EQ(kept({0.0F, 0.0F, 0.0F, 1.0F}, 1.0F), 4);
  EXPECT_EQ(kept({5.0F}, 0.5F), 1);
  EXPECT_EQ(kept({}, 0.5F), 0);
}

TEST(KeyListsTest, RefusesWhatItCannotMean) {
  const std::vector<float> floats(30, 0.0F);
  EXPECT_THROW((void)KeysAboveThreshold({floats, floats, 7, 1.0F}, 64, 0.1F), Error);
  EXPECT_THROW((void)KeysAboveThreshold({floats, floats, 10, 1.0F}, 0, 0.1F), Error);
  EXPECT_THROW((void)KeysAboveThreshold({floats, floats, 10, 1.0F}, 64, 1.0F), Error);
  EXPECT_THROW((void)KeysOfTopCdf({floats, floats, 10, 1.0F}, 64, 0.0F), Error);
  EXPECT_THROW((void)KeysOfTopCdf({floats, floats, 10, 1.0F}, 64, 1.5F), Error);
}

KeyListFeatures::Side SideByBits(const std::vector<BlockMask>& heads, int side) {
  KeyListFeatures::Side expected;
  std::vector<int> counts;
  std::int64_t both = 0;
  std::int64_t either = 0;
  for (const BlockMask& bits : heads) {
    for (int i = 0; i < bits.rows(); ++i) {
      int n = 0;
      std::set<int> blocks;
      for (int j = 0; j < bits.cols(); ++j) {
        if (i > 0) both += bits.Get(i, j) && bits.Get(i - 1, j);
        if (i > 0) either += bits.Get(i, j) || bits.Get(i - 1, j);
        if (!bits.Get(i, j)) continue;
        ++n;
        blocks.insert(j / side);
      }
      counts.push_back(n);
      expected.active_blocks += static_cast<std::int64_t>(blocks.size());
    }
  }
  expected.tiles = static_cast<std::int64_t>(counts.size());
  expected.packed_keys = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  expected.max_keys = *std::max_element(counts.begin(), counts.end());
  const double mean =
      static_cast<double>(expected.packed_keys) / static_cast<double>(counts.size());
  for (const int n : counts) {
    expected.variance += (n - mean) * (n - mean) / static_cast<double>(counts.size());
  }
  if (either > 0) expected.overlap = static_cast<double>(both) / static_cast<double>(either);
  return expected;
}

void ExpectSide(const KeyListFeatures::Side& got, const KeyListFeatures::Side& expected) {
  EXPECT_EQ(got.tiles, expected.tiles);
  EXPECT_EQ(got.packed_keys, expected.packed_keys);
  EXPECT_EQ(got.active_blocks, expected.active_blocks);
  EXPECT_EQ(got.max_keys, expected.max_keys);
  EXPECT_NEAR(got.variance, expected.variance, 1e-9 * (1.0 + expected.variance));
  EXPECT_DOUBLE_EQ(got.overlap, expected.overlap);
}

TEST(KeyListsTest, FeaturesCountWhatAWalkOverTheBitsCounts) {
  std::mt19937_64 random(6);
  for (int trial = 0; trial < 20; ++trial) {
    const int rows = 1 + static_cast<int>(random() % 7);
    const int cols = 1 + static_cast<int>(random() % 700);
    std::vector<BlockMask> heads;
    std::vector<BlockMask> pairs;
    LayerMasks fine;
    for (int h = 0; h < 3; ++h) {
      // The third head shares the first one's object.
      heads.push_back(h == 2 ? heads[0] : RandomBits(rows, cols, random));
      pairs.push_back(PairRows(heads.back()));
      fine.head.push_back(h == 2 ? fine.head[0] : std::make_shared<BlockMask>(heads.back()));
    }
    const KeyListFeatures got = FeaturesOf(fine);
    EXPECT_EQ(got.k_tokens, cols);
    ExpectSide(got.at64, SideByBits(heads, 64));
    ExpectSide(got.at128, SideByBits(pairs, 128));
    std::map<int, std::int64_t> runs;
    for (const BlockMask& bits : pairs) {
      for (int i = 0; i < bits.rows(); ++i) {
        int run = 0;
        for (int j = 0; j <= cols; ++j) {
          if (j < cols && bits.Get(i, j)) {
            ++run;
          } else if (run > 0) {
            ++runs[run];
            run = 0;
          }
        }
      }
    }
    KeyListFeatures expected;
    for (const auto& [length, count] : runs) {
      int bin = 0;
      while (bin + 1 < KeyListFeatures::kRunBins && (2 << bin) <= length) ++bin;
      expected.runs[bin] += count;
      expected.run_keys[bin] += count * length;
      expected.keys_in_pieces += count * (length / kRunKeys) * kRunKeys;
    }
    EXPECT_EQ(got.runs, expected.runs) << "trial " << trial;
    EXPECT_EQ(got.run_keys, expected.run_keys);
    EXPECT_EQ(got.keys_in_pieces, expected.keys_in_pieces);
  }
}

TEST(KeyListsTest, FeaturesOfNothingAreNothing) {
  const KeyListFeatures none = FeaturesOf({});
  EXPECT_EQ(none.at64.tiles, 0);
  EXPECT_EQ(none.at128.packed_keys, 0);
  LayerMasks unlike;
  unlike.head = {std::make_shared<BlockMask>(2, 3), std::make_shared<BlockMask>(2, 4)};
  EXPECT_THROW((void)FeaturesOf(unlike), Error);
}

}  // namespace
}  // namespace dbsp::kernels
