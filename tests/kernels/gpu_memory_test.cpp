// SPDX-License-Identifier: Apache-2.0
// Merge, block copies and token layouts on the emulator, compared with fp64 and with the CPU's
// CopyBlocks. The index arithmetic is checked for every thread.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <set>

#include "core/error.h"
#include "gpu_case.h"
#include "kernels/gpu/memory_kernels.h"

namespace dbsp::kernels::gpu {
namespace {

using testing::CaseOptions;
using testing::FromBf16;
using testing::Memory;
using testing::Tensor;

constexpr float kNone = -std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(MemoryIndexTest, ThreadsOfAUnitHaveEveryRowAndShareOnce) {
  for (const int head_dim : {64, 128}) {
    for (const int rows : {1, 63, 64, 65, 128, 129, 1000}) {
      std::vector<int> seen(rows * ThreadsPerRow(head_dim));
      for (int block = 0; block < BlocksPerUnit(rows, head_dim); ++block) {
        int busy = 0;
        for (int thread = 0; thread < kMemoryThreads; ++thread) {
          const ThreadShare at = ShareOfThread(block, thread, head_dim);
          for (int r = 0; r < kRowsInFlight; ++r) {
            const int row = at.row + r * RowsPerPass(head_dim);
            if (row >= rows) continue;
            ++busy;
            ++seen[row * ThreadsPerRow(head_dim) + at.share];
          }
        }
        EXPECT_GT(busy, 0) << "a thread block without work";
      }
      for (const int times : seen) ASSERT_EQ(times, 1);
    }
  }
}

TEST(MemoryIndexTest, SharesOfARowHaveEveryChannelOnceAndLinesTogether) {
  for (const int head_dim : {64, 128}) {
    std::set<int> channels;
    for (int share = 0; share < ThreadsPerRow(head_dim); ++share) {
      for (int half = 0; half < 2; ++half) {
        for (int i = 0; i < 4; ++i) channels.insert(QuadChannel(head_dim, share, half) + i);
        if (share > 0) {
          EXPECT_EQ(QuadChannel(head_dim, share, half), QuadChannel(head_dim, share - 1, half) + 4);
        }
      }
    }
    EXPECT_EQ(channels.size(), static_cast<std::size_t>(head_dim));
    EXPECT_EQ(*channels.rbegin(), head_dim - 1);
  }
}

/// Parts of one result and the accumulator, all in memory whose gaps are NaN.
struct MergeCase {
  CaseOptions shape;
  int head_dim;
  std::vector<Tensor> part;
  std::vector<std::vector<float>> part_lse;
  std::vector<isa::Vector16> sum;  ///< floats, 16-byte aligned
  std::vector<float> sum_lse;
  Tensor o;
  std::vector<float> lse;

  MergeCase(const CaseOptions& options, int dim, int parts, std::uint64_t seed)
      : shape(options), head_dim(dim), o(options, options.q_tokens, dim) {
    std::mt19937_64 random(seed);
    const int rows = options.batch * options.heads * options.q_tokens;
    sum.resize(static_cast<std::size_t>(rows) * dim / 4);
    std::fill_n(Sum(), static_cast<std::size_t>(rows) * dim, kNan);
    sum_lse.assign(rows, kNan);
    lse = sum_lse;
    for (int i = 0; i < parts; ++i) {
      part.emplace_back(options, options.q_tokens, dim);
      part.back().Fill(random, 1.0F);
      part_lse.push_back(RandomLse(random, rows));
      Blank(part.back(), part_lse.back());
    }
  }

  float* Sum() { return reinterpret_cast<float*>(sum.data()); }

  /// -infinity for one row in four, and for some rows in every part.
  static std::vector<float> RandomLse(std::mt19937_64& random, int rows) {
    std::normal_distribution<float> normal(0.0F, 6.0F);
    std::vector<float> lse(rows);
    for (int r = 0; r < rows; ++r)
      lse[r] = r % 17 == 3 || random() % 4 == 0 ? kNone : normal(random);
    return lse;
  }
  /// O of a row without keys may hold any value.
  void Blank(Tensor& tensor, const std::vector<float>& row_lse) const {
    std::size_t row = 0;
    for (int b = 0; b < shape.batch; ++b) {
      for (int h = 0; h < shape.heads; ++h) {
        for (int t = 0; t < shape.q_tokens; ++t, ++row) {
          if (row_lse[row] == kNone) std::fill_n(tensor.Row(b, h, t), head_dim, Tensor::kPoison);
        }
      }
    }
  }

  MergeCall Call() {
    MergeCall call;
    call.batch = shape.batch;
    call.heads = shape.heads;
    call.tokens = shape.q_tokens;
    call.head_dim = head_dim;
    call.parts = static_cast<int>(part.size());
    for (std::size_t i = 0; i < part.size(); ++i) {
      call.part[i] = {part[i].View(), part_lse[i].data()};
    }
    call.sum = Sum();
    call.sum_lse = sum_lse.data();
    return call;
  }
  void Round(MergeCall& call) {
    call.o = o.View();
    call.lse = lse.data();
  }

  std::vector<isa::GlobalRegion> Regions() {
    const auto bytes = [](const std::vector<float>& v) {
      return static_cast<std::int64_t>(v.size() * sizeof(float));
    };
    std::vector<isa::GlobalRegion> regions{o.Region("o", true),
                                           {"lse", lse.data(), bytes(lse), true},
                                           {"sum_lse", sum_lse.data(), bytes(sum_lse), true}};
    for (std::size_t i = 0; i < part.size(); ++i) {
      regions.push_back(part[i].Region("part", false));
      regions.push_back({"part lse", part_lse[i].data(), bytes(part_lse[i]), false});
    }
    return regions;
  }

  void Run(const MergeCall& call, std::uint64_t seed) {
    CheckMerge(call);
    const MergeArguments args = ArgumentsOf(call);
    isa::RunOptions options;
    options.seed = seed;
    options.regions = Regions();
    isa::RunGrid(static_cast<int>(MergeBlocks(args)), kMemoryThreads, 0, options, [&] {
      head_dim == 64 ? RunKernel<64>(args) : RunKernel<128>(args);
    });
  }
  template <int kHeadDim>
  static void RunKernel(const MergeArguments& args) {
    const bool into_sum = args.call.o.data == nullptr;
    if (args.call.read_sum) {
      into_sum ? MergeKernel<kHeadDim, true, true>(args) : MergeKernel<kHeadDim, true, false>(args);
    } else {
      into_sum ? MergeKernel<kHeadDim, false, true>(args)
               : MergeKernel<kHeadDim, false, false>(args);
    }
  }

  /// The definition, in double, for one row.
  std::pair<std::vector<double>, double> Row(int b, int h, int t) {
    const std::size_t row = (static_cast<std::size_t>(b) * shape.heads + h) * shape.q_tokens + t;
    double total = 0.0;
    std::vector<double> want(head_dim, 0.0);
    for (std::size_t i = 0; i < part.size(); ++i) {
      if (part_lse[i][row] == kNone) continue;
      const double weight = std::exp(static_cast<double>(part_lse[i][row]));
      total += weight;
      for (int c = 0; c < head_dim; ++c) want[c] += weight * part[i].At(b, h, t, c);
    }
    for (double& x : want) x = total > 0.0 ? x / total : 0.0;
    return {want, std::log(total)};
  }

  /// Relative Frobenius error of `value(b, h, t, c)`. Compares LSE too.
  template <typename Value>
  double ErrorOf(const std::vector<float>& got_lse, Value value) {
    double difference = 0.0;
    double size = 0.0;
    std::size_t row = 0;
    for (int b = 0; b < shape.batch; ++b) {
      for (int h = 0; h < shape.heads; ++h) {
        for (int t = 0; t < shape.q_tokens; ++t, ++row) {
          const auto [want, want_lse] = Row(b, h, t);
          if (got_lse[row] != want_lse) {
            EXPECT_NEAR(got_lse[row], want_lse, 1e-5);
          }
          for (int c = 0; c < head_dim; ++c) {
            const double off = value(b, h, t, c, row) - want[c];
            difference += std::isnan(off) ? std::numeric_limits<double>::infinity() : off * off;
            size += want[c] * want[c];
          }
        }
      }
    }
    return std::sqrt(size > 0.0 ? difference / size : difference);
  }
  double RoundedError() {
    return ErrorOf(lse, [&](int b, int h, int t, int c, std::size_t) { return o.At(b, h, t, c); });
  }
  double SumError() {
    return ErrorOf(sum_lse, [&](int, int, int, int c, std::size_t row) {
      return static_cast<double>(Sum()[row * head_dim + c]);
    });
  }
};

const std::vector<CaseOptions> kShapes{
    {.batch = 2, .heads = 3, .q_tokens = 65, .memory = Memory::kTokensFirst},
    {.heads = 1, .q_tokens = 1},
    {.heads = 2, .q_tokens = 129, .memory = Memory::kPadded}};

// One rounding to bf16 of each output: 2^-9 at most.
constexpr double kRounding = 0.002;

TEST(GpuMergeTest, AnyNumberOfPartsMatchesTheDefinition) {
  for (const int head_dim : {64, 128}) {
    for (std::size_t i = 0; i < kShapes.size(); ++i) {
      for (const int parts : {1, 2, 5, 8}) {
        SCOPED_TRACE(::testing::Message() << head_dim << ' ' << i << ' ' << parts);
        MergeCase test(kShapes[i], head_dim, parts, 10 * i + parts);
        MergeCall call = test.Call();
        test.Round(call);
        test.Run(call, i + 1);
        EXPECT_LE(test.RoundedError(), kRounding);
        EXPECT_TRUE(test.o.GapsArePoison());
      }
    }
  }
}

/// A ring: the first merge writes the accumulator, the next ones add to it, the last one rounds it.
TEST(GpuMergeTest, HopsThroughTheAccumulatorRoundOnlyOnce) {
  for (const int head_dim : {64, 128}) {
    MergeCase test(kShapes[0], head_dim, 5, 77);
    const MergeCall all = test.Call();
    for (int hop = 0; hop < 4; ++hop) {
      MergeCall call = all;
      call.parts = 1;
      call.part[0] = all.part[hop];
      call.read_sum = hop > 0;
      test.Run(call, hop + 1);
    }
    MergeCall last = all;
    last.parts = 1;
    last.part[0] = all.part[4];
    last.read_sum = true;
    MergeCase copy = test;
    test.Run(last, 9);
    EXPECT_LE(test.SumError(), 1e-6) << "fp32 sums";
    MergeCall rounded = copy.Call();
    rounded.parts = 1;
    rounded.part[0] = rounded.part[4];
    rounded.read_sum = true;
    copy.Round(rounded);
    copy.Run(rounded, 10);
    EXPECT_LE(copy.RoundedError(), kRounding);
    // The accumulator alone, rounded: the same bits as summing and rounding at once.
    MergeCall round = test.Call();
    round.parts = 0;
    round.read_sum = true;
    test.Round(round);
    test.Run(round, 11);
    EXPECT_LE(test.RoundedError(), kRounding);
  }
}

TEST(GpuMergeTest, ThreadOrderDoesNotShow) {
  MergeCase first(kShapes[0], 128, 3, 5);
  MergeCall call = first.Call();
  first.Run(call, 1);
  for (const std::uint64_t seed : {2, 3, 4}) {
    MergeCase again(kShapes[0], 128, 3, 5);
    again.Run(again.Call(), seed);
    EXPECT_EQ(std::memcmp(again.Sum(), first.Sum(), first.sum.size() * 16), 0);
    EXPECT_EQ(again.sum_lse, first.sum_lse);
  }
}

TEST(GpuMergeTest, ARowWithoutAnyKeyIsZeroEvenOverNan) {
  MergeCase test({.heads = 1, .q_tokens = 5}, 64, 2, 3);
  for (auto& lse : test.part_lse) std::fill(lse.begin(), lse.end(), kNone);
  std::fill(test.sum_lse.begin(), test.sum_lse.end(), kNone);
  MergeCall call = test.Call();
  call.read_sum = true;
  test.Run(call, 1);
  for (int i = 0; i < 5 * 64; ++i) EXPECT_EQ(test.Sum()[i], 0.0F);
  for (const float lse : test.sum_lse) EXPECT_EQ(lse, kNone);
}

// --- copies ---

/// Random items that do not overlap where they are written.
std::vector<CopyItem> RandomItems(std::mt19937_64& random,
                                  int head_dim,
                                  int slots,
                                  int max_tokens) {
  std::vector<CopyItem> items;
  for (int i = 0; i < slots; ++i) {
    if (random() % 4 == 0) continue;
    const auto from = static_cast<std::int64_t>(random() % slots) * max_tokens * head_dim;
    const auto to = static_cast<std::int64_t>(i) * max_tokens * head_dim;
    items.push_back({from, to, static_cast<int>(random() % (max_tokens + 1))});
  }
  std::shuffle(items.begin(), items.end(), random);
  return items;
}

/// bf16 memory and the same values as floats, for the CPU's CopyBlocks.
struct Twin {
  std::vector<isa::Vector16> bits;
  std::vector<float> floats;

  Twin(std::size_t elements, std::mt19937_64* random) : bits(elements / 8), floats(elements) {
    for (std::size_t i = 0; i < elements; ++i) {
      floats[i] = random == nullptr ? -1.0F : static_cast<float>((*random)() % 256);
      Bits()[i] = testing::ToBf16(floats[i]);
    }
  }
  std::uint16_t* Bits() { return reinterpret_cast<std::uint16_t*>(bits.data()); }
};

TEST(GpuCopyTest, ThreeTensorsInOneLaunchDoWhatCopyBlocksDoes) {
  for (const int head_dim : {64, 128}) {
    std::mt19937_64 random(static_cast<std::uint64_t>(head_dim));
    constexpr int kSlots = 9;
    const std::array<int, 4> max_tokens{64, 150, 1, 7};
    std::vector<Twin> from;
    std::vector<Twin> to;
    std::vector<std::vector<CopyItem>> items;
    CopyCall call;
    call.head_dim = head_dim;
    call.lists = 4;
    for (int i = 0; i < call.lists; ++i) {
      // From [token][3 heads][head_dim] to contiguous blocks.
      const std::size_t elements = static_cast<std::size_t>(2 * kSlots) * 150 * 3 * head_dim;
      from.emplace_back(elements, &random);
      to.emplace_back(elements, nullptr);
      items.push_back(i == 2 ? std::vector<CopyItem>{}
                             : RandomItems(random, head_dim, kSlots, max_tokens[i]));
      CheckItems(items.back(), max_tokens[i]);
    }
    for (int i = 0; i < call.lists; ++i) {
      call.list[i] = {from[i].Bits(),
                      3 * head_dim,
                      to[i].Bits(),
                      i == 1 ? head_dim + 8 : head_dim,
                      items[i].data(),
                      static_cast<std::int64_t>(items[i].size()),
                      max_tokens[i]};
      // A token stride above the block's own spreads items; keep them apart.
      if (i == 1) {
        for (CopyItem& item : items[i]) item.to *= 2;
      }
      CopyBlocks(from[i].floats.data(),
                 call.list[i].from_stride,
                 to[i].floats.data(),
                 call.list[i].to_stride,
                 head_dim,
                 items[i]);
    }
    CheckCopy(call);
    const CopyArguments args = ArgumentsOf(call);
    ASSERT_GT(args.blocks, 0);
    isa::RunGrid(args.blocks, kMemoryThreads, 0, {.seed = 3, .regions = {}}, [&] {
      head_dim == 64 ? CopyKernel<64>(args) : CopyKernel<128>(args);
    });
    for (int i = 0; i < call.lists; ++i) {
      for (std::size_t at = 0; at < to[i].floats.size(); ++at) {
        ASSERT_EQ(FromBf16(to[i].Bits()[at]), to[i].floats[at]) << "list " << i << " at " << at;
      }
    }
  }
}

// --- token layouts ---

TEST(TokenSourcesTest, BlocksMoveWholeAndAShortOneTakesLessRoom) {
  const std::vector<int> order{2, 0, 1};
  EXPECT_EQ(TokenSources(order, 4, 10), (std::vector<std::int32_t>{8, 9, 0, 1, 2, 3, 4, 5, 6, 7}));
}

TEST(TokenSourcesTest, RefusesWhatIsNoPermutation) {
  const std::vector<std::vector<int>> bad{{0, 0, 1}, {0, 1}, {0, 1, 3}, {0, 1, -1}, {0, 1, 2, 2}};
  for (const std::vector<int>& order : bad) {
    EXPECT_THROW(TokenSources(order, 4, 10), Error);
  }
}

TEST(GpuPermuteTest, AppliesALayoutAndUndoesIt) {
  for (const int head_dim : {64, 128}) {
    const CaseOptions shape{
        .batch = 2, .heads = 2, .q_tokens = 205, .memory = Memory::kTokensFirst};
    std::mt19937_64 random(8);
    std::vector<int> order((205 - 1) / 16 + 1);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random);
    const std::vector<std::int32_t> source = TokenSources(order, 16, 205);
    CaseOptions padded = shape;
    padded.memory = Memory::kPadded;
    Tensor from(shape, 205, head_dim);
    Tensor moved(padded, 205, head_dim);
    Tensor back(shape, 205, head_dim);
    from.Fill(random, 1.0F);
    PermuteCall call{.batch = 2, .heads = 2, .tokens = 205, .head_dim = head_dim};
    call.from = from.View();
    call.to = moved.View();
    call.source = source.data();
    const auto run = [&] {
      CheckPermute(call);
      const PermuteArguments args = ArgumentsOf(call);
      isa::RunOptions options;
      options.regions = {from.Region("from", false),
                         moved.Region("moved", !call.undo),
                         back.Region("back", true),
                         {"source", source.data(), 4 * 205, false}};
      isa::RunGrid(static_cast<int>(PermuteBlocks(args)), kMemoryThreads, 0, options, [&] {
        if (head_dim == 64) {
          call.undo ? PermuteKernel<64, true>(args) : PermuteKernel<64, false>(args);
        } else {
          call.undo ? PermuteKernel<128, true>(args) : PermuteKernel<128, false>(args);
        }
      });
    };
    run();
    for (int b = 0; b < 2; ++b) {
      for (int h = 0; h < 2; ++h) {
        for (int t = 0; t < 205; ++t) {
          ASSERT_EQ(std::memcmp(moved.Row(b, h, t), from.Row(b, h, source[t]), 2 * head_dim), 0);
        }
      }
    }
    EXPECT_TRUE(moved.GapsArePoison());
    call.from = moved.View();
    call.to = back.View();
    call.undo = true;
    run();
    EXPECT_TRUE(back == from);
  }
}

// --- refusals ---

template <typename F>
void ExpectRefused(const char* words, F call) {
  try {
    call();
    ADD_FAILURE() << "accepted; expected: " << words;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.what(), ::testing::HasSubstr(words));
  }
}

TEST(GpuMemoryCheckTest, MergeNamesWhatIsWrong) {
  MergeCase test({.heads = 1, .q_tokens = 5}, 64, 2, 3);
  const MergeCall good = test.Call();
  CheckMerge(good);
  const auto with = [&](auto change) {
    return [&, change] {
      MergeCall call = good;
      change(call);
      CheckMerge(call);
    };
  };
  ExpectRefused("head_dim is 96", with([](MergeCall& c) { c.head_dim = 96; }));
  ExpectRefused("tokens is 0", with([](MergeCall& c) { c.tokens = 0; }));
  ExpectRefused("parts is 0", with([](MergeCall& c) { c.parts = 0; }));
  ExpectRefused("parts is 9", with([](MergeCall& c) { c.parts = 9; }));
  ExpectRefused("sum is", with([](MergeCall& c) { c.sum = nullptr; }));
  ExpectRefused("sum is", with([](MergeCall& c) { ++c.sum; }));
  ExpectRefused("multiples of 8", with([](MergeCall& c) { c.part[1].o.token_stride = 4; }));
  ExpectRefused("a part's lse", with([](MergeCall& c) { c.part[1].lse = nullptr; }));
  ExpectRefused("grid", with([](MergeCall& c) { c.batch = c.heads = 1 << 16; }));
}

TEST(GpuMemoryCheckTest, CopyAndPermuteNameWhatIsWrong) {
  const std::vector<CopyItem> items{{0, 8, 3}, {16, 4, 3}};
  ExpectRefused("item 1 is from 16 to 4", [&] { CheckItems(items, 3); });
  ExpectRefused("item 0", [&] { CheckItems(items, 2); });
  CopyCall call;
  ExpectRefused("lists is 0", [&] { CheckCopy(call); });
  call.lists = 1;
  CheckCopy(call);  // nothing to copy
  call.list[0].item_count = 1;
  ExpectRefused("from is", [&] { CheckCopy(call); });
  PermuteCall permute{.tokens = 3};
  alignas(16) static float memory[4];
  permute.from.data = permute.to.data = memory;
  ExpectRefused("other memory", [&] { CheckPermute(permute); });
}

}  // namespace
}  // namespace dbsp::kernels::gpu
