// SPDX-License-Identifier: Apache-2.0
// Kernels with one fault each. The emulator must report the fault under every schedule. Where it is
// not obvious, the same kernel without the fault must pass.
#include <gtest/gtest.h>

#include "tests/kernels/isa_case.h"

namespace dbsp::kernels::gpu::isa {
namespace {

constexpr int kTile = 64 * 128;  ///< bytes of 64 rows of one panel

std::uint32_t Base() { return SharedAddress(SharedBase()); }

class IsaRefusalTest : public ::testing::Test {
 protected:
  IsaRefusalTest() : values(64 * 64, 0x3F80) {
    map = MakeTensorMap(values.data(), {64, 64, 1, 1}, {128, 8192, 8192}, {64, 64, 1, 1});
  }
  /// One thread loads the tile to the start of shared memory, the barrier follows it.
  void Load(int expected_bytes = kTile) const {
    const std::uint32_t bar = Base() + kTile;
    if (ThreadIndex() == 0) {
      BarrierInit(bar, 1);
      BarrierInitFence();
      BarrierArriveExpect(bar, expected_bytes);
      TmaLoad(Base(), &map, 0, 0, 0, 0, bar, kEvictNormal);
    }
    SyncThreads();
  }
  void LoadAndWait() const {
    Load();
    BarrierWait(Base() + kTile, 0);
  }
  std::vector<std::uint16_t> values;
  TensorMap map;
};
constexpr int kShared = kTile + 8;

TEST_F(IsaRefusalTest, WrongParityIsADeadlockThatNamesThreadsAndBarrier) {
  ExpectRefused(
      "threads 0-31 in BarrierWait(shared +8192, parity 1): phase 1 has 0 of 1", 32, kShared, [&] {
        LoadAndWait();
        BarrierWait(Base() + kTile, 1);
      });
  ExpectRefused("threads 0-31 returned; threads 32-63 in SyncThreads(0, 64): 32 of 64", 64, 0, [] {
    if (ThreadIndex() >= 32) SyncThreads();
  });
  ExpectRefused("thread 3 returned; threads 4-31 in SyncWarp(0): 31 of", 32, 0, [] {
    if (ThreadIndex() != 3) SyncWarp();
  });
}

TEST_F(IsaRefusalTest, WrongTransactionCounts) {
  ExpectAccepted(32, kShared, [&] { LoadAndWait(); });
  // Too many: the phase never completes. Too few: it completes before the data is there.
  ExpectRefused("phase 0 has 1 of 1 arrivals and 16 bytes to come", 32, kShared, [&] {
    Load(kTile + 16);
    BarrierWait(Base() + kTile, 0);
  });
  ExpectRefused("phase 0 has 1 of 1 arrivals and -16 bytes to come", 32, kShared, [&] {
    Load(kTile - 16);
    BarrierWait(Base() + kTile, 0);
  });
  ExpectRefused("the mbarrier at shared +16384", 32, 2 * kTile + 8, [&] {
    if (ThreadIndex() != 0) return;
    const std::uint32_t bar = Base() + 2 * kTile;
    BarrierInit(bar, 1);
    BarrierInitFence();
    BarrierArriveExpect(bar, kTile);
    TmaLoad(Base(), &map, 0, 0, 0, 0, bar, kEvictNormal);
    TmaLoad(Base() + kTile, &map, 0, 0, 0, 0, bar, kEvictNormal);
    BarrierWait(bar, 0);
  });
  ExpectRefused("one arrival more than the 1 of phase 0", 32, kShared, [&] {
    Load(2 * kTile);
    if (ThreadIndex() == 1) BarrierArrive(Base() + kTile);
  });
  ExpectRefused(
      "returned while the mbarrier at shared +8192", 32, kShared + kTile, [&] { Load(2 * kTile); });
}

TEST_F(IsaRefusalTest, BarriersMustBeMadeAndMadeVisible) {
  ExpectRefused("no mbarrier at shared +0", 32, 64, [] { BarrierWait(Base(), 0); });
  ExpectRefused("is no mbarrier that BarrierInitFence made visible", 32, kShared, [&] {
    if (ThreadIndex() != 0) return;
    BarrierInit(Base() + kTile, 1);
    TmaLoad(Base(), &map, 0, 0, 0, 0, Base() + kTile, kEvictNormal);
  });
  ExpectRefused("is an mbarrier already", 32, 64, [] { BarrierInit(Base(), 1); });
  ExpectRefused("holds an mbarrier", 32, 64, [] {
    if (ThreadIndex() == 0) BarrierInit(Base(), 1);
    SyncThreads();
    StoreShared(Base() + 4, 1);
  });
}

TEST_F(IsaRefusalTest, SharedMemoryOutOfBoundsMisalignedOrNeverWritten) {
  ExpectRefused("StoreShared: shared +64 to +68 is outside of the block's 64 bytes", 32, 64, [] {
    StoreShared(Base() + 64, 1);
  });
  ExpectRefused("LoadShared: shared +8 must be a multiple of 16", 32, 64, [] {
    LoadShared<Vector16>(Base() + 8);
  });
  ExpectRefused("shared +16 was never written", 32, 64, [] { LoadShared<float>(Base() + 16); });
  ExpectRefused("is outside of the block's 8200 bytes", 32, kShared, [&] {
    if (ThreadIndex() != 0) return;
    BarrierInit(Base() + kTile, 1);
    BarrierInitFence();
    TmaLoad(Base() + 1024, &map, 0, 0, 0, 0, Base() + kTile, kEvictNormal);
  });
}

TEST_F(IsaRefusalTest, GlobalMemoryOutsideOfItsRegions) {
  std::vector<std::int32_t> list(8, 5);
  RunOptions options;
  options.regions = {{"list", list.data(), 32, false}};
  const auto refusal = [&](const std::function<void()>& body) {
    return Refusal(32, 64, options, body);
  };
  EXPECT_EQ(refusal([&] { EXPECT_EQ(LoadGlobal(&list[7]), 5); }), "");
  EXPECT_NE(refusal([&] {
              LoadGlobal(list.data() + 8);
            }).find("4 bytes at byte 32 of \"list\", which has 32"),
            std::string::npos);
  EXPECT_NE(refusal([&] { StoreGlobal(list.data(), 1); }).find("\"list\", which is read-only"),
            std::string::npos);
  EXPECT_NE(refusal([&] {
              CopyAsync16(Base(), list.data() + 8, 16);
            }).find("CopyAsync16: 16 bytes at byte 32"),
            std::string::npos);
}

TEST_F(IsaRefusalTest, DataStillOnItsWay) {
  ExpectRefusedWhenLate(
      "LoadShared: shared +0 is still being written by a TMA load", 32, kShared, [&] {
        Load();
        LoadShared<float>(Base());
        BarrierWait(Base() + kTile, 0);
      });
  ExpectRefusedWhenLate(
      "a TMA load: shared +0 is still being written by a TMA load", 32, kShared, [&] {
        Load(2 * kTile);
        if (ThreadIndex() == 9) TmaLoad(Base(), &map, 0, 0, 0, 0, Base() + kTile, kEvictNormal);
        BarrierWait(Base() + kTile, 0);
      });
  const Vector16 line;
  ExpectRefusedWhenLate("LoadShared: shared +0 is still being written by a cp.async", 32, 64, [&] {
    if (ThreadIndex() > 0) return;
    CopyAsync16(Base(), &line, 16);
    CopyAsyncCommit();
    LoadShared<float>(Base());
    CopyAsyncWait<0>();
  });
  ExpectRefusedWhenLate("returned with 1 cp.async in flight", 32, 64, [&] {
    if (ThreadIndex() == 0) CopyAsync16(Base(), &line, 16);
  });
}

TEST_F(IsaRefusalTest, StoresNeedAProxyFenceAndAWait) {
  const auto store = [&](bool fence, bool wait, bool reuse) {
    for (int i = ThreadIndex(); i < kTile / 4; i += 32) {
      StoreShared(Base() + static_cast<std::uint32_t>(i) * 4, std::uint32_t{0});
    }
    if (fence) FenceProxyAsync();
    SyncThreads();
    if (ThreadIndex() != 0) return;
    TmaStore(&map, 0, 0, 0, 0, Base());
    TmaStoreCommit();
    if (wait) TmaStoreWaitRead<0>();
    if (reuse) StoreShared(Base(), 1);
  };
  ExpectAccepted(32, kTile, [&] { store(true, true, true); });
  ExpectRefused(
      "a TMA store reads shared +0, which thread ", 32, kTile, [&] { store(false, true, false); });
  ExpectRefused("returned while its TMA stores may still read", 32, kTile, [&] {
    store(true, false, false);
  });
  ExpectRefused("StoreShared: shared +0 is still being read by a TMA store", 32, kTile, [&] {
    store(true, false, true);
  });
}

TEST_F(IsaRefusalTest, LanesAndThreadsInDifferentOperations) {
  ExpectRefused("other lanes of warp 0 are in", 32, 0, [] {
    if (ThreadIndex() < 16) {
      SyncWarp();
    } else {
      ShuffleXor(1.0F, 1);
    }
  });
  ExpectRefused("other lanes of warp 0 are in ShuffleXor", 32, 0, [] {
    ShuffleXor(1.0F, ThreadIndex() < 16 ? 1 : 2);
  });
  ExpectRefused(
      "the barrier is gathering", 96, 0, [] { NamedSync(1, ThreadIndex() < 32 ? 64 : 96); });
  ExpectRefused("the thread has arrived already", 64, 0, [] {
    if (ThreadIndex() >= 32) return;
    NamedArrive(1, 64);
    NamedArrive(1, 64);
  });
  ExpectRefused("expected a barrier of 0..15", 64, 0, [] { NamedSync(16, 64); });
}

}  // namespace
}  // namespace dbsp::kernels::gpu::isa
