// SPDX-License-Identifier: Apache-2.0
// Faults around wgmma that give wrong numbers on a GPU, some of them rarely.
#include <gtest/gtest.h>

#include "tests/kernels/isa_case.h"

namespace dbsp::kernels::gpu::isa {
namespace {

constexpr int kTile = 64 * 128;  ///< bytes of 64 rows of one panel
constexpr int kThreads = 128;

std::uint32_t Base() { return SharedAddress(SharedBase()); }
std::uint64_t A(int step = 0) {
  return DescriptorKMajor(Base() + static_cast<std::uint32_t>(step) * 32);
}

/// The faults, one flag each.
struct Fault {
  bool no_proxy_fence = false;
  bool no_wgmma_fence = false;
  bool use_early = false;
  bool touch_early = false;
  bool write_early = false;
  bool scale_early = false;  ///< NaN times anything is NaN, and yet it is a write
  bool store_early = false;
  bool no_commit = false;
  bool no_wait = false;
};

/// Ones in shared memory by ordinary stores, then d = ones ones^T.
void Kernel(const Fault& fault) {
  for (int i = ThreadIndex(); i < kTile / 4; i += kThreads) {
    StoreShared(Base() + static_cast<std::uint32_t>(i) * 4, std::uint32_t{0x3F803F80});
  }
  if (!fault.no_proxy_fence) FenceProxyAsync();
  SyncThreads();
  float d[32];
  if (!fault.no_wgmma_fence) WgmmaFence();
  for (int step = 0; step < 4; ++step) WgmmaSS<64>(d, A(step), A(step), step > 0);
  if (!fault.no_commit) WgmmaCommit();
  if (fault.use_early) Exp2(d[3] * 2.0F - 1.0F);
  if (fault.touch_early) Touch(d);
  if (fault.write_early) d[5] = 0.0F;
  if (fault.scale_early) d[6] *= 0.5F;
  if (fault.store_early) StoreShared(Base() + 16, 0);
  if (!fault.no_wait) WgmmaWait<0>();
  if (fault.no_wait || fault.no_commit) return;
  Touch(d);
  for (const float x : d) ASSERT_EQ(x, 64.0F);
}

TEST(IsaWgmmaRefusalTest, OneFaultEach) {
  ExpectAccepted(kThreads, kTile, [] { Kernel({}); });
  const auto refused = [](const char* words, const Fault& fault) {
    ExpectRefused(words, kThreads, kTile, [&] { Kernel(fault); });
  };
  refused("wrote without a FenceProxyAsync since", {.no_proxy_fence = true});
  refused("WgmmaSS: no WgmmaFence", {.no_wgmma_fence = true});
  refused("Exp2: uses an accumulator whose wgmma has not been waited for", {.use_early = true});
  refused("Touch: accumulators of a wgmma", {.touch_early = true});
  refused("WgmmaWait: accumulator 5 of 32 was written while", {.write_early = true});
  refused("WgmmaWait: accumulator 6 of 32 was written while", {.scale_early = true});
  refused("StoreShared: shared +16 is still being read by a wgmma", {.store_early = true});
  refused("returned with 4 wgmma not waited for", {.no_commit = true});
  refused("returned with 4 wgmma not waited for", {.no_wait = true});
}

TEST(IsaWgmmaRefusalTest, EveryUseOfAnAccumulatorInFlightIsSeen) {
  const auto refused = [](const char* words, const std::function<void(float)>& use) {
    ExpectRefused(std::string(words) + ": uses an accumulator", kThreads, kTile, [&] {
      for (int i = ThreadIndex(); i < kTile / 4; i += kThreads) {
        StoreShared(Base() + static_cast<std::uint32_t>(i) * 4, std::uint32_t{0});
      }
      FenceProxyAsync();
      SyncThreads();
      float d[32];
      WgmmaFence();
      WgmmaSS<64>(d, A(), A(), false);
      WgmmaCommit();
      use(d[0]);
      WgmmaWait<0>();
    });
  };
  refused("Max", [](float x) { Max(1.0F, x); });
  refused("FusedMultiplyAdd", [](float x) { FusedMultiplyAdd(x, 2.0F, 1.0F); });
  refused("LogE", [](float x) { LogE(x + 1.0F); });
  refused("PackBf16", [](float x) { PackBf16(0.0F, x); });
  refused("ShuffleXor", [](float x) { ShuffleXor(x, 1); });
  refused("StoreShared", [](float x) { StoreShared(Base() + kTile - 4, x); });
  float global = 0.0F;
  refused("StoreGlobal", [&](float x) { StoreGlobal(&global, x); });
}

TEST(IsaWgmmaRefusalTest, PInRegistersStaysUntilTheWait) {
  const auto kernel = [](bool change) {
    for (int i = ThreadIndex(); i < kTile / 4; i += kThreads) {
      StoreShared(Base() + static_cast<std::uint32_t>(i) * 4, std::uint32_t{0x3F803F80});
    }
    FenceProxyAsync();
    SyncThreads();
    float d[32];
    std::uint32_t p[4] = {1, 2, 3, 4};
    WgmmaFence();
    WgmmaRS<64>(d, p, DescriptorMnMajor(Base(), kTile), false);
    WgmmaCommit();
    if (change) p[2] = 9;
    WgmmaWait<0>();
  };
  ExpectAccepted(kThreads, kTile, [&] { kernel(false); });
  ExpectRefused("the A registers of a WgmmaRS changed", kThreads, kTile, [&] { kernel(true); });
}

TEST(IsaWgmmaRefusalTest, DescriptorsThatNameTheWrongBytes) {
  const auto multiply = [](std::uint64_t a, std::uint64_t b) {
    for (int i = ThreadIndex(); i < kTile / 4; i += kThreads) {
      StoreShared(Base() + static_cast<std::uint32_t>(i) * 4, std::uint32_t{0});
    }
    FenceProxyAsync();
    SyncThreads();
    float d[32];
    WgmmaFence();
    WgmmaSS<64>(d, a, b, false);
    WgmmaCommit();
    WgmmaWait<0>();
  };
  ExpectRefused(
      "reaches shared +", kThreads, kTile, [&] { multiply(A(), DescriptorKMajor(Base() + 1024)); });
  ExpectRefused("expected the 128-byte swizzle", kThreads, kTile, [&] {
    multiply(A(), A() & ~(std::uint64_t{1} << 62U));
  });
  ExpectRefused("on a tile at a multiple of 1024", kThreads, kTile + 1024, [&] {
    multiply(DescriptorKMajor(Base() + 128), A());
  });
  ExpectRefused("was never written", kThreads, 2 * kTile, [&] {
    multiply(A(), DescriptorKMajor(Base() + kTile));
  });
  ExpectRefused("another thread of the warpgroup issued", kThreads, kTile, [&] {
    multiply(A(), A(ThreadIndex() < 64 ? 0 : 1));
  });
  ExpectRefused("wgmma needs 128 aligned threads", 64, kTile, [&] { multiply(A(), A()); });
  // Three of four warps: the product never starts.
  ExpectRefused("in WgmmaWait<0>: 96 of 128 threads have issued", kThreads, kTile, [&] {
    for (int i = ThreadIndex(); i < kTile / 4; i += kThreads) {
      StoreShared(Base() + static_cast<std::uint32_t>(i) * 4, std::uint32_t{0});
    }
    FenceProxyAsync();
    SyncThreads();
    if (ThreadIndex() >= 96) return;
    float d[32];
    WgmmaFence();
    WgmmaSS<64>(d, A(), A(), false);
    WgmmaCommit();
    WgmmaWait<0>();
  });
}

/// cp.async writes through the generic proxy. The writer or every reader must execute a proxy fence
/// between the end of the copy and the wgmma.
TEST(IsaWgmmaRefusalTest, CopiesNeedAProxyFence) {
  const std::vector<Vector16> lines(kTile / 16);
  const auto kernel = [&](bool writer_fences, bool readers_fence) {
    const std::uint32_t bar = Base() + kTile;
    if (ThreadIndex() == 0) BarrierInit(bar, 128);
    SyncThreads();
    if (ThreadIndex() >= 128) {
      for (int i = ThreadIndex() - 128; i < kTile / 16; i += 128) {
        CopyAsync16(Base() + static_cast<std::uint32_t>(i) * 16, &lines[i], 16);
      }
      CopyAsyncCommit();
      if (writer_fences) {
        CopyAsyncWait<0>();
        FenceProxyAsync();
        BarrierArrive(bar);
      } else {
        CopyAsyncBarrierArrive(bar);
        CopyAsyncWait<0>();
      }
      return;
    }
    BarrierWait(bar, 0);
    if (readers_fence) FenceProxyAsync();
    float d[32];
    WgmmaFence();
    WgmmaSS<64>(d, A(), A(), false);
    WgmmaCommit();
    WgmmaWait<0>();
  };
  ExpectAccepted(256, kTile + 8, [&] { kernel(true, false); });
  ExpectAccepted(256, kTile + 8, [&] { kernel(false, true); });
  ExpectRefused(
      "wrote without a FenceProxyAsync since", 256, kTile + 8, [&] { kernel(false, false); });
}

}  // namespace
}  // namespace dbsp::kernels::gpu::isa
