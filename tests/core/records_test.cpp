// SPDX-License-Identifier: Apache-2.0
#include "core/records.h"

#include <gtest/gtest.h>

#include <set>

#include "core/error.h"

namespace dbsp {
namespace {

TEST(KeyOfTest, EqualConfigurationsHaveEqualKeys) {
  const AttentionConfig a{"cpu.block_sparse", DType::kF32, 3, 64, {64, 32}, 5, 6, "band", 7, 8, 9};
  EXPECT_EQ(KeyOf(a), KeyOf(AttentionConfig(a)));
  EXPECT_EQ(KeyOf(LocalConfig{"merge", 5, 64, {64, 32}}),
            R"({"amount":5,"block":[64,32],"head_dim":64,"kind":"local","op":"merge"})");
}

TEST(KernelVariantTest, FitsItsShapesAndAnyShapeWhereAFieldIsMissing) {
  const KernelVariant any{.name = "cpu.block_sparse"};
  EXPECT_TRUE(Fits(any, 80, {64, 1}));
  const KernelVariant one{
      .name = "sm90.block128x64.d128", .head_dim = 128, .q_block = 128, .k_block = 64};
  EXPECT_TRUE(Fits(one, 128, {128, 64}));
  EXPECT_FALSE(Fits(one, 64, {128, 64}));
  EXPECT_FALSE(Fits(one, 128, {64, 64}));
  EXPECT_FALSE(Fits(one, 128, {128, 128}));
}

TEST(KeyOfTest, EveryFieldChangesTheKey) {
  std::set<std::string> keys;
  std::size_t count = 0;
  const auto add = [&](const TrialConfig& config) {
    keys.insert(KeyOf(config));
    ++count;
    EXPECT_EQ(KeyOf(ConfigOf(KeyOf(config))), KeyOf(config));
  };
  const AttentionConfig a{"k", DType::kF32, 3, 64, {64, 32}, 5, 6, "band", 7, 8, 9};
  add(a);
  const auto attention = [&](auto change) {
    AttentionConfig copy = a;
    change(copy);
    add(copy);
  };
  attention([](auto& c) { c.kernel = "l"; });
  attention([](auto& c) { c.dtype = DType::kBf16; });
  attention([](auto& c) { c.heads = 4; });
  attention([](auto& c) { c.head_dim = 65; });
  attention([](auto& c) { c.block = {32, 64}; });
  attention([](auto& c) { c.q_blocks = 6; });
  attention([](auto& c) { c.k_blocks = 5; });
  attention([](auto& c) { c.pattern = "radial"; });
  attention([](auto& c) { c.seed = ~0ULL; });
  attention([](auto& c) { c.active_blocks = 9; });
  attention([](auto& c) { c.active_rows = 8; });
  attention([](auto& c) { c.lists = ListStatistics{}; });
  attention([](auto& c) { c.lists = ListStatistics{.step = 64}; });
  attention([](auto& c) { c.lists = ListStatistics{.padded_keys = 128}; });
  attention([](auto& c) { c.lists = ListStatistics{.max_keys = 5}; });
  attention([](auto& c) { c.lists = ListStatistics{.runs = 4}; });
  add(ExchangeConfig{"hop", "threads", 2, 100, 1.0});
  add(ExchangeConfig{"alltoall", "threads", 2, 100, 1.0});
  add(ExchangeConfig{"hop", "nccl", 2, 100, 1.0});
  add(ExchangeConfig{"hop", "threads", 3, 100, 1.0});
  add(ExchangeConfig{"hop", "threads", 2, 101, 1.0});
  add(ExchangeConfig{"hop", "threads", 2, 100, 1.0000000000000002});
  add(ExchangeConfig{"hop", "threads", 2, 100, 1.0, 2});
  add(LocalConfig{"pack", 100, 128, {128, 128}});
  add(LocalConfig{"merge", 100, 128, {128, 128}});
  add(LocalConfig{"pack", 101, 128, {128, 128}});
  add(LocalConfig{"pack", 100, 64, {128, 128}});
  add(LocalConfig{"pack", 100, 128, {128, 64}});
  add(LocalConfig{"key_lists", 100, 128, {128, 1}, ListSize{.k_tokens = 9}});
  add(LocalConfig{"key_lists", 100, 128, {128, 1}, ListSize{.k_tokens = 8}});
  add(LocalConfig{"key_lists", 100, 128, {128, 1}, ListSize{.k_tokens = 9, .keys = 0}});
  add(LocalConfig{"key_lists", 100, 128, {128, 1}, ListSize{.k_tokens = 9, .keys = 7}});
  const OverlapConfig both{a, {"hop", "threads", 2, 100, 1.0}, 0, TimedSide::kAttention};
  add(both);
  const auto overlap = [&](auto change) {
    OverlapConfig copy = both;
    change(copy);
    add(copy);
  };
  overlap([](auto& c) { c.attention.heads = 4; });
  overlap([](auto& c) { c.exchange.bytes_per_rank = 101; });
  overlap([](auto& c) { c.sm_margin = 8; });
  overlap([](auto& c) { c.timed = TimedSide::kExchange; });
  EXPECT_EQ(keys.size(), count);
}

TEST(KeyOfTest, ExchangesOnOneHostHaveTheKeyThatOlderDatabasesHold) {
  EXPECT_EQ(KeyOf(ExchangeConfig{"hop", "nccl", 2, 100, 1.0}),
            R"({"bytes_per_rank":100,"kind":"exchange","op":"hop","ranks":2,"transport":"nccl",)"
            R"("unevenness":1.0})");
}

TEST(KeyOfTest, TextThatIsNotAKeyIsRefused) {
  for (const char* text : {"",
                           "{}",
                           "[1]",
                           R"({"kind":"other"})",
                           R"({"kind":"local"})",
                           R"({"kind":"overlap","timed":"both"})",
                           R"({"kind":"overlap","timed":"exchange","sm_margin":0})",
                           R"({"kind":"exchange","op":"hop","transport":"nccl","ranks":-1})"}) {
    EXPECT_THROW((void)ConfigOf(text), Error) << text;
  }
}

}  // namespace
}  // namespace dbsp
