// SPDX-License-Identifier: Apache-2.0
// The device list builders on the emulator, compared with the CPU functions.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "kernels/gpu/gather/bit_lists.h"
#include "kernels/gpu/gather/list_builders.h"
#include "kernels/gpu/gather/threshold_bits.h"
#include "kernels/gpu/gather/top_cdf.h"
#include "kernels/key_lists.h"

namespace dbsp::kernels::gpu::gather {
namespace {

template <typename T>
isa::GlobalRegion Region(const char* name, const std::vector<T>& data, bool writable) {
  return {name, data.data(), static_cast<std::int64_t>(data.size() * sizeof(T)), writable};
}

/// Rows of scattered keys, runs, everything and nothing.
BlockMask RandomBits(int rows, int cols, std::mt19937_64& random) {
  BlockMask bits(rows, cols);
  for (int i = 0; i < rows; ++i) {
    const auto kind = random() % 4;
    if (kind == 1) bits.SetRange(i, 0, cols);
    for (int n = 0; n < 6 && kind >= 2; ++n) {
      const int begin = static_cast<int>(random() % static_cast<std::uint64_t>(cols));
      const int length = kind == 2 ? 1 + n : 1 + static_cast<int>(random() % 200);
      bits.SetRange(i, begin, std::min(cols, begin + length));
    }
  }
  return bits;
}

std::vector<std::uint32_t> WordsOf(const BlockMask& bits) {
  std::vector<std::uint32_t> words;
  for (const std::uint64_t word : bits.words()) {
    words.push_back(static_cast<std::uint32_t>(word));
    words.push_back(static_cast<std::uint32_t>(word >> 32U));
  }
  return words;
}

struct BuiltLists {
  std::vector<std::int32_t> begin;
  std::vector<std::int32_t> list;
};

BuiltLists RunKeyLists(const BlockMask& bits, int capacity, int grid, std::uint64_t seed) {
  const std::vector<std::uint32_t> words = WordsOf(bits);
  BuiltLists built{std::vector<std::int32_t>(static_cast<std::size_t>(bits.rows()) + 1, -7),
                   std::vector<std::int32_t>(capacity, -7)};
  BitListArgs args;
  args.words = words.data();
  args.begin = built.begin.data();
  args.list = built.list.data();
  args.rows = bits.rows();
  args.words_per_row = KeyWords(bits.cols());
  args.capacity = capacity;
  isa::RunOptions options;
  options.seed = seed;
  options.resident_blocks = grid;
  options.regions = {Region("words", words, false),
                     Region("begin", built.begin, true),
                     Region("list", built.list, true)};
  isa::RunGrid(grid, kListThreads, kCountSharedBytes, options, [&] { CountRows(args); });
  isa::RunGrid(1, kListThreads, kScanSharedBytes, options, [&] { ScanCounts(args); });
  isa::RunGrid(grid, kListThreads, kCompactSharedBytes, options, [&] { CompactRows(args); });
  return built;
}

TEST(GpuKeyListsTest, BitsBecomeTheListsOfTheCpu) {
  std::mt19937_64 random(1);
  // More than 8,192 keys are more than one pass of a block over a row.
  for (const int cols : {1, 33, 700, 9000}) {
    const BlockMask bits = RandomBits(7, cols, random);
    KeyLists expected;
    AppendKeyLists(bits, expected);
    for (const std::uint64_t seed : {1U, 2U}) {
      const BuiltLists built = RunKeyLists(bits, static_cast<int>(expected.list.size()), 3, seed);
      ASSERT_EQ(built.begin, expected.begin) << cols << " keys, seed " << seed;
      ASSERT_EQ(built.list, expected.list) << cols << " keys, seed " << seed;
    }
  }
}

TEST(GpuKeyListsTest, AListThatIsTooShortIsCutOffAndTold) {
  std::mt19937_64 random(2);
  const BlockMask bits = RandomBits(6, 600, random);
  KeyLists expected;
  AppendKeyLists(bits, expected);
  ASSERT_GT(expected.list.size(), 100U);
  // The emulator reports a store past the region, which ends at the capacity.
  const BuiltLists built = RunKeyLists(bits, 100, 2, 3);
  EXPECT_EQ(built.begin, expected.begin);
  EXPECT_TRUE(std::equal(built.list.begin(), built.list.end(), expected.list.begin()));
}

TEST(GpuKeyListsTest, OffsetsSaturateInsteadOfWrapping) {
  std::vector<std::int32_t> begin{-1, 1 << 30, 5, 1 << 30, 7, 1 << 30, 9};
  BitListArgs args;
  args.begin = begin.data();
  args.rows = 6;
  isa::RunOptions options;
  options.regions = {Region("begin", begin, true)};
  isa::RunGrid(1, kListThreads, kScanSharedBytes, options, [&] { ScanCounts(args); });
  const std::int32_t most = std::numeric_limits<std::int32_t>::max();
  EXPECT_EQ(begin, (std::vector<std::int32_t>{0, 1 << 30, (1 << 30) + 5, most, most, most, most}));
}

TEST(GpuKeyListsTest, ArrangesRunsAsTheCpuDoes) {
  std::mt19937_64 random(4);
  for (int trial = 0; trial < 4; ++trial) {
    const BlockMask bits = RandomBits(5, 900, random);
    KeyLists lists;
    AppendKeyLists(bits, lists);
    KeyLists expected = lists;
    kernels::ArrangeRuns(expected);
    std::vector<std::int32_t> to(lists.list.size(), -7);
    const ArrangeArgs args{lists.begin.data(), lists.list.data(), to.data(), lists.rows()};
    isa::RunOptions options;
    options.seed = static_cast<std::uint64_t>(trial);
    options.regions = {Region("begin", lists.begin, false),
                       Region("from", lists.list, false),
                       Region("to", to, true)};
    isa::RunGrid(2, kListThreads, kArrangeSharedBytes, options, [&] { ArrangeRows(args); });
    ASSERT_EQ(to, expected.list) << "trial " << trial;
  }
}

std::uint16_t Bf16Of(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U);
}
float FloatOf(std::uint16_t x) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(x) << 16U);
}

/// [tokens][heads][head_dim + 8] bf16 with NaN in the eight columns that no kernel may use.
struct Interleaved {
  int tokens, heads, head_dim;
  std::vector<std::uint16_t> data;

  Interleaved(int token_count, int head_count, int dim, float spread, std::mt19937_64& random)
      : tokens(token_count),
        heads(head_count),
        head_dim(dim),
        data(static_cast<std::size_t>(tokens) * heads * (head_dim + 8), 0x7FC1) {
    std::normal_distribution<float> normal(0.0F, spread);
    for (int t = 0; t < tokens; ++t) {
      for (int h = 0; h < heads; ++h) {
        for (int c = 0; c < head_dim; ++c) At(t, h, c) = Bf16Of(normal(random));
      }
    }
  }
  std::uint16_t& At(int t, int h, int c) {
    return data[(static_cast<std::size_t>(t) * heads + h) * (head_dim + 8) + c];
  }
  TensorView View() {
    const std::int64_t row = head_dim + 8;
    return {data.data(), 0, row, heads * row};
  }
  std::vector<float> Head(int h) {
    std::vector<float> floats;
    for (int t = 0; t < tokens; ++t) {
      for (int c = 0; c < head_dim; ++c) floats.push_back(FloatOf(At(t, h, c)));
    }
    return floats;
  }
};

std::vector<double> ScoresOf(const float* q, const std::vector<float>& k, int dim, double scale) {
  std::vector<double> scores(k.size() / static_cast<std::size_t>(dim), 0.0);
  for (std::size_t j = 0; j < scores.size(); ++j) {
    for (int c = 0; c < dim; ++c) scores[j] += static_cast<double>(q[c]) * k[j * dim + c];
    scores[j] *= scale;
  }
  return scores;
}
double LogSumExp(const std::vector<double>& scores) {
  double sum = 0.0;
  const double max = *std::max_element(scores.begin(), scores.end());
  for (const double s : scores) sum += std::exp(s - max);
  return max + std::log(sum);
}

struct Shapes {
  int q_tokens, k_tokens, heads;
};

void FillBits(KeyBitsArgs& args,
              Interleaved& q,
              Interleaved& k,
              int q_block,
              std::vector<std::uint32_t>& words) {
  args.q = q.View();
  args.k = k.View();
  args.heads = q.heads;
  args.q_block = q_block;
  args.q_blocks = (q.tokens + q_block - 1) / q_block;
  args.tiles = args.q_blocks * q.heads;
  args.q_tokens = q.tokens;
  args.k_tokens = k.tokens;
  args.words_per_row = KeyWords(k.tokens);
  words.assign(static_cast<std::size_t>(args.tiles) * args.words_per_row, 0xDEADBEEFU);
  args.words = words.data();
}

bool BitOf(const std::vector<std::uint32_t>& words, int words_per_row, int row, int key) {
  return (words[static_cast<std::size_t>(row) * words_per_row + key / 32] >> (key % 32)) & 1U;
}

template <int D, int ROWS>
void CheckThreshold(const Shapes& shapes, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Interleaved q(shapes.q_tokens, shapes.heads, D, 1.5F, random);
  Interleaved k(shapes.k_tokens, shapes.heads, D, 1.0F, random);
  const double scale = 1.0 / std::sqrt(static_cast<double>(D));
  const double threshold = 1.0 / shapes.k_tokens;
  std::vector<float> lse;
  std::vector<double> largest;  // [tile][key] probability
  ThresholdArgs args;
  std::vector<std::uint32_t> words;
  FillBits(args, q, k, ROWS, words);
  largest.assign(static_cast<std::size_t>(args.tiles) * shapes.k_tokens, 0.0);
  for (int h = 0; h < shapes.heads; ++h) {
    const std::vector<float> qs = q.Head(h);
    const std::vector<float> ks = k.Head(h);
    for (int i = 0; i < shapes.q_tokens; ++i) {
      const std::vector<double> scores = ScoresOf(qs.data() + i * D, ks, D, scale);
      const double row_lse = LogSumExp(scores);
      // A row without keys in the dense pass, LSE -infinity, keeps no key.
      const bool none = i == 1;
      lse.push_back(none ? -INFINITY : static_cast<float>(row_lse));
      for (int j = 0; j < shapes.k_tokens && !none; ++j) {
        double& at =
            largest[(static_cast<std::size_t>(h) * args.q_blocks + i / ROWS) * shapes.k_tokens + j];
        at = std::max(at, std::exp(scores[j] - row_lse));
      }
    }
  }
  args.lse = lse.data();
  args.log_threshold = static_cast<float>(std::log(threshold));
  args.inverse_scale = static_cast<float>(1.0 / scale);
  isa::RunOptions options;
  options.seed = seed;
  options.regions = {Region("q", q.data, false),
                     Region("k", k.data, false),
                     Region("lse", lse, false),
                     Region("words", words, true)};
  using Tile = ThresholdTile<D, ROWS>;
  isa::RunGrid(
      2, Tile::kThreads, Tile::kSharedBytes, options, [&] { ThresholdBits<D, ROWS>(args); });
  int kept = 0;
  for (int tile = 0; tile < args.tiles; ++tile) {
    for (int j = 0; j < args.words_per_row * 32; ++j) {
      const bool got = BitOf(words, args.words_per_row, tile, j);
      if (j >= shapes.k_tokens) {
        ASSERT_FALSE(got) << "tile " << tile << " keeps key " << j << ", which does not exist";
        continue;
      }
      const double p = largest[static_cast<std::size_t>(tile) * shapes.k_tokens + j];
      // fp32 sums in another order, and an LSE in float.
      if (std::abs(p / threshold - 1.0) < 1e-4) continue;
      ASSERT_EQ(got, p > threshold) << "tile " << tile << ", key " << j << ", p " << p;
      kept += got ? 1 : 0;
    }
  }
  EXPECT_GT(kept, 0);
}

TEST(GpuKeyListsTest, ThresholdBitsAreTheKeysAboveIt) {
  CheckThreshold<64, 64>({100, 150, 2}, 5);
  CheckThreshold<64, 128>({130, 64, 1}, 6);
  CheckThreshold<128, 64>({64, 65, 1}, 7);
  CheckThreshold<128, 128>({200, 129, 1}, 8);
}

template <int D>
void CheckTopCdf(const Shapes& shapes, int q_block, float tau, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Interleaved q(shapes.q_tokens, shapes.heads, D, 3.0F, random);
  Interleaved k(shapes.k_tokens, shapes.heads, D, 2.0F, random);
  TopCdfArgs args;
  std::vector<std::uint32_t> words;
  FillBits(args, q, k, q_block, words);
  std::vector<std::uint32_t> pooled(static_cast<std::size_t>(args.tiles) * D / 2, 0);
  std::vector<float> scores(words.size() * 32, std::numeric_limits<float>::quiet_NaN());
  args.pooled = pooled.data();
  args.scores = scores.data();
  args.scale = 1.0F / std::sqrt(static_cast<float>(D));
  args.tau = tau;
  isa::RunOptions options;
  options.seed = seed;
  options.regions = {Region("q", q.data, false),
                     Region("k", k.data, false),
                     Region("pooled", pooled, true),
                     Region("scores", scores, true),
                     Region("words", words, true)};
  isa::RunGrid(2, kPoolThreads, kPoolSharedBytes, options, [&] { PoolQueries<D>(args); });
  isa::RunGrid(1, kPooledThreads, kPooledSharedBytes<D>, options, [&] { PooledScores<D>(args); });
  isa::RunGrid(2, kSelectThreads, kSelectSharedBytes, options, [&] { SelectTopCdf(args); });
  for (int tile = 0; tile < args.tiles; ++tile) {
    const int head = tile / args.q_blocks;
    const std::vector<float> qs = q.Head(head);
    const int first = tile % args.q_blocks * q_block;
    const int rows = std::min(q_block, shapes.q_tokens - first);
    std::vector<float> mean(D, 0.0F);
    for (int i = first; i < first + rows; ++i) {
      for (int c = 0; c < D; ++c) mean[c] += qs[static_cast<std::size_t>(i) * D + c];
    }
    for (int c = 0; c < D; ++c) {
      const std::uint32_t pair = pooled[static_cast<std::size_t>(tile) * D / 2 + c / 2];
      const float got = FloatOf(static_cast<std::uint16_t>(pair >> (c % 2 * 16)));
      const float want = mean[c] / static_cast<float>(rows);
      ASSERT_NEAR(got, want, 0.004F * std::abs(want) + 1e-5F) << "mean of tile " << tile;
      mean[c] = got;
    }
    const std::vector<double> s = ScoresOf(mean.data(), k.Head(head), D, args.scale);
    const double lse = LogSumExp(s);
    double kept = 0.0;
    double least = 2.0;
    double most_dropped = 0.0;
    for (int j = 0; j < args.words_per_row * 32; ++j) {
      const bool got = BitOf(words, args.words_per_row, tile, j);
      if (j >= shapes.k_tokens) {
        ASSERT_FALSE(got) << "tile " << tile << " keeps key " << j << ", which does not exist";
        continue;
      }
      const double p = std::exp(s[j] - lse);
      if (got) {
        kept += p;
        least = std::min(least, p);
      } else {
        most_dropped = std::max(most_dropped, p);
      }
    }
    EXPECT_GE(kept, tau - 1e-4);
    EXPECT_GE(least, most_dropped * (1.0 - 1e-4));
    EXPECT_LT(kept - least, tau + 1e-4) << "the least probable kept key was not needed";
  }
}

TEST(GpuKeyListsTest, TopCdfBitsAreTheFewestMostProbableKeys) {
  CheckTopCdf<64>({100, 150, 2}, 64, 0.9F, 9);
  CheckTopCdf<64>({70, 64, 1}, 1, 0.5F, 10);  // 70 query blocks: two groups of pooled rows
  CheckTopCdf<128>({200, 333, 1}, 128, 0.9F, 11);
}

}  // namespace
}  // namespace dbsp::kernels::gpu::gather
