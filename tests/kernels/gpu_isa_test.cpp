// SPDX-License-Identifier: Apache-2.0
// The emulator's threads, barriers, warp operations and arithmetic.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "tests/kernels/isa_case.h"

namespace dbsp::kernels::gpu::isa {
namespace {

TEST(IsaRunTest, EveryThreadOfEveryBlockRunsOnce) {
  for (RunOptions options : Schedules()) {
    for (const int resident : {1, 3, 16}) {
      options.resident_blocks = resident;
      std::vector<int> runs(std::size_t{5} * 96, 0);
      RunGrid(5, 96, 0, options, [&] {
        EXPECT_EQ(GridSize(), 5);
        ++runs[BlockIndex() * 96 + ThreadIndex()];
      });
      EXPECT_EQ(runs, std::vector<int>(runs.size(), 1)) << Named(options);
    }
  }
}

TEST(IsaRunTest, EqualSeedsGiveEqualRunsAndOthersDiffer) {
  const auto order = [](std::uint64_t seed) {
    std::vector<int> seen;
    RunOptions options;
    options.seed = seed;
    RunGrid(1, 64, 0, options, [&] {
      NamedSync(3, 64);
      seen.push_back(ThreadIndex());
    });
    return seen;
  };
  EXPECT_EQ(order(4), order(4));
  bool differs = false;
  for (std::uint64_t seed = 1; seed < 8; ++seed)
    differs = differs || order(seed) != order(seed + 1);
  EXPECT_TRUE(differs);
}

TEST(IsaRunTest, WhatABodyThrowsLeavesTheRun) {
  int unwound = 0;
  const auto body = [&] {
    struct Count {
      int* count;
      ~Count() { ++*count; }
    } const on_exit{&unwound};
    if (ThreadIndex() == 7) throw std::runtime_error("thrown by thread 7");
    SyncThreads();
  };
  EXPECT_THROW(RunGrid(1, 32, 0, RunOptions{.seed = 2}, body), std::runtime_error);
  EXPECT_GT(unwound, 0);
}

TEST(IsaRunTest, ArgumentsAreChecked) {
  const auto nothing = [] {};
  EXPECT_THROW(RunGrid(0, 32, 0, {}, nothing), Error);
  EXPECT_THROW(RunGrid(1, 33, 0, {}, nothing), Error);
  EXPECT_THROW(RunGrid(1, 32, 232449, {}, nothing), Error);
  EXPECT_THROW(RunGrid(1, 32, 0, {}, [] { RunGrid(1, 32, 0, {}, [] {}); }), Error);
  EXPECT_THROW(ThreadIndex(), Error);
}

TEST(IsaBarrierTest, SyncThreadsOrdersStoresBeforeLoads) {
  for (const RunOptions& options : Schedules()) {
    RunGrid(1, 256, 1024, options, [&] {
      const std::uint32_t base = SharedAddress(SharedBase());
      const auto slot = [&](int i) { return base + static_cast<std::uint32_t>(i % 256) * 4; };
      for (int round = 0; round < 3; ++round) {
        StoreShared(slot(ThreadIndex()), ThreadIndex() + 1000 * round);
        SyncThreads();
        EXPECT_EQ(LoadShared<int>(slot(ThreadIndex() + 37)),
                  (ThreadIndex() + 37) % 256 + 1000 * round);
        SyncThreads();
      }
    });
  }
}

TEST(IsaBarrierTest, NamedArriveDoesNotWaitAndNamedSyncDoes) {
  // Two warpgroups alternate through named barriers.
  for (const RunOptions& options : Schedules()) {
    std::vector<int> order;
    RunGrid(1, 64, 0, options, [&] {
      const int warp = ThreadIndex() / 32;
      if (warp == 1) NamedArrive(1, 64);
      for (int i = 0; i < 4; ++i) {
        NamedSync(1 + warp, 64);
        if (ThreadIndex() % 32 == 0) order.push_back(warp);
        SyncWarp();
        if (i < 3 || warp == 0) NamedArrive(2 - warp, 64);
      }
    });
    EXPECT_EQ(order, (std::vector<int>{0, 1, 0, 1, 0, 1, 0, 1})) << Named(options);
  }
}

TEST(IsaBarrierTest, MbarrierPhasesAlternate) {
  // One producer, 64 consumers, two slots: the consumer's parity starts at 0, the producer's at 1.
  for (const RunOptions& options : Schedules()) {
    RunGrid(1, 96, 64, options, [&] {
      const std::uint32_t base = SharedAddress(SharedBase());
      const auto full = [&](int s) { return base + static_cast<std::uint32_t>(s) * 8; };
      const auto empty = [&](int s) { return base + 16 + static_cast<std::uint32_t>(s) * 8; };
      const auto value = [&](int s) { return base + 32 + static_cast<std::uint32_t>(s) * 4; };
      if (ThreadIndex() == 0) {
        for (int s = 0; s < 2; ++s) BarrierInit(full(s), 1);
        for (int s = 0; s < 2; ++s) BarrierInit(empty(s), 64);
        BarrierInitFence();
      }
      SyncThreads();
      for (int i = 0; i < 9; ++i) {
        const int s = i % 2;
        const auto parity = static_cast<std::uint32_t>(i / 2 % 2);
        if (ThreadIndex() >= 64) {
          if (ThreadIndex() > 64) break;
          BarrierWait(empty(s), parity ^ 1U);
          StoreShared(value(s), i * i);
          BarrierArrive(full(s));
        } else {
          BarrierWait(full(s), parity);
          EXPECT_EQ(LoadShared<int>(value(s)), i * i);
          BarrierArrive(empty(s));
        }
      }
    });
  }
}

TEST(IsaWarpTest, ShufflesExchangeWithTheMaskedLane) {
  for (const RunOptions& options : Schedules()) {
    RunGrid(1, 64, 0, options, [&] {
      const int lane = ThreadIndex() % 32;
      for (const int mask : {1, 2, 4, 8, 16, 31}) {
        EXPECT_EQ(ShuffleXor(ThreadIndex(), mask), ThreadIndex() / 32 * 32 + (lane ^ mask));
        EXPECT_EQ(ShuffleXor(0.5F + static_cast<float>(lane), mask),
                  0.5F + static_cast<float>(lane ^ mask));
      }
      EXPECT_EQ(BroadcastLane0(ThreadIndex() * 3), ThreadIndex() / 32 * 96);
    });
  }
}

TEST(IsaWarpTest, ElectOneChoosesOneLaneAndTheSameAgain) {
  bool other_than_0 = false;
  for (const RunOptions& options : Schedules(12)) {
    int elected = 0;
    RunGrid(1, 64, 0, options, [&] {
      const bool first = ElectOne();
      EXPECT_EQ(ElectOne(), first);
      elected += first ? 1 : 0;
      other_than_0 = other_than_0 || (first && ThreadIndex() % 32 != 0);
    });
    EXPECT_EQ(elected, 2);
  }
  EXPECT_TRUE(other_than_0);
}

TEST(IsaWarpTest, RegistersPassFromOneWarpgroupToTheOthers) {
  for (const RunOptions& options : Schedules()) {
    EXPECT_EQ(
        Refusal(384,
                0,
                options,
                [] { ThreadIndex() < 128 ? RegistersDecrease<40>() : RegistersIncrease<232>(); }),
        "");
  }
  // 3 x 128 x 240 registers are more than a multiprocessor has.
  ExpectRefused("in RegistersIncrease<240>", 384, 0, [] { RegistersIncrease<240>(); });
  ExpectRefused("the warp has 168", 384, 0, [] { RegistersDecrease<176>(); });
}

TEST(IsaScalarTest, PackBf16RoundsToNearestEven) {
  const auto low = [](float x) { return PackBf16(x, 0.0F) & 0xFFFFU; };
  EXPECT_EQ(low(1.0F), 0x3F80U);
  EXPECT_EQ(low(std::bit_cast<float>(0x3F808000U)), 0x3F80U);  // a tie, to even
  EXPECT_EQ(low(std::bit_cast<float>(0x3F818000U)), 0x3F82U);  // a tie, to even
  EXPECT_EQ(low(std::bit_cast<float>(0x3F808001U)), 0x3F81U);
  EXPECT_EQ(low(std::bit_cast<float>(0xBF807FFFU)), 0xBF80U);
  EXPECT_EQ(low(std::numeric_limits<float>::max()), 0x7F80U);
  EXPECT_EQ(low(-std::numeric_limits<float>::infinity()), 0xFF80U);
  EXPECT_TRUE(std::isnan(Bf16Low(low(std::numeric_limits<float>::quiet_NaN()))));
  EXPECT_EQ(PackBf16(1.0F, -2.0F), 0xC0003F80U);
  EXPECT_EQ(Bf16Low(0xC0003F80U), 1.0F);
  EXPECT_EQ(Bf16High(0xC0003F80U), -2.0F);
}

TEST(IsaScalarTest, ArithmeticIsThatOfTheInstructions) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(Exp2(-kInfinity), 0.0F);
  EXPECT_EQ(Exp2(3.0F), 8.0F);
  EXPECT_EQ(Exp2(-140.0F), 0.0F);  // subnormal
  EXPECT_EQ(LogE(0.0F), -kInfinity);
  EXPECT_NEAR(LogE(10.0F), 2.302585F, 1e-6F);
  EXPECT_EQ(Max(std::numeric_limits<float>::quiet_NaN(), 2.0F), 2.0F);
  EXPECT_EQ(Max(2.0F, std::numeric_limits<float>::quiet_NaN()), 2.0F);
  EXPECT_EQ(Max(-kInfinity, -3.0F), -3.0F);
  // One rounding: (1 + 2^-22)^2 - 1 = 2^-21 + 2^-44.
  EXPECT_EQ(FusedMultiplyAdd(0x1.000004p0F, 0x1.000004p0F, -1.0F), 0x1.000002p-21F);
}

TEST(IsaScalarTest, AtomicAddCountsAcrossBlocks) {
  for (RunOptions options : Schedules(3)) {
    options.resident_blocks = 4;
    std::int32_t counter = 0;
    std::vector<bool> taken(std::size_t{7} * 32, false);
    RunGrid(7, 32, 0, options, [&] { taken[AtomicAdd(&counter, 1)] = true; });
    EXPECT_EQ(counter, 7 * 32);
    EXPECT_EQ(std::accumulate(taken.begin(), taken.end(), 0), 7 * 32);
  }
}

}  // namespace
}  // namespace dbsp::kernels::gpu::isa
