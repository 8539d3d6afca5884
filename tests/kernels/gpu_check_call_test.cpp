// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "core/error.h"
#include "kernels/gpu/check_call.h"
#include "kernels/gpu/embedded_code.h"
#include "kernels/gpu/gpu_variants.h"
#include "kernels/gpu/tensor_map.h"

namespace dbsp::kernels::gpu {
namespace {

using ::testing::HasSubstr;

const Variant kVariant{.name = "v", .head_dim = 64, .q_block = 64, .k_block = 64, .tile_m = 128};

/// A valid call. Its memory is never read.
class CheckCallTest : public ::testing::Test {
 protected:
  CheckCallTest() {
    call_.shape = {.batch = 2, .heads = 3, .q_tokens = 200, .k_tokens = 90, .head_dim = 64};
    const TensorView view{memory_.data(), 3 * 200 * 64, 64, 3 * 64};
    call_.q = call_.k = call_.v = call_.o = view;
    call_.lse = floats_.data();
    call_.begin = call_.list = call_.order = call_.counter = ints_.data();
    call_.ordered_tiles = 12;  // 6 heads, 4 query blocks in pairs
  }

  std::string Refusal() const {
    try {
      CheckCall(kVariant, call_);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      return error.what();
    }
    return "";
  }

  alignas(16) std::array<std::uint16_t, 64> memory_{};
  std::array<float, 4> floats_{};
  std::array<std::int32_t, 4> ints_{};
  AttentionCall call_;
};

TEST_F(CheckCallTest, AGoodCallPasses) {
  EXPECT_EQ(Refusal(), "");
  EXPECT_EQ(QBlocks(kVariant, call_.shape), 4);
  EXPECT_EQ(BlocksPerEntry(kVariant), 2);
}

TEST_F(CheckCallTest, WithoutOrderedTilesTheListMayBeMissing) {
  call_.ordered_tiles = 0;
  call_.list = call_.order = nullptr;
  EXPECT_EQ(Refusal(), "");
}

TEST_F(CheckCallTest, StridesOfSingleAxesAreFree) {
  call_.shape.batch = 1;
  call_.ordered_tiles = 6;
  call_.q.batch_stride = -1;
  EXPECT_EQ(Refusal(), "");
}

TEST_F(CheckCallTest, EveryFieldHasItsOwnWords) {
  struct Fault {
    std::function<void(AttentionCall&)> spoil;
    const char* words;
  };
  const std::vector<Fault> faults{
      {[](AttentionCall& c) { c.shape.head_dim = 128; }, "v: head_dim is 128, expected 64"},
      {[](AttentionCall& c) { c.shape.batch = 0; }, "batch is 0"},
      {[](AttentionCall& c) { c.shape.heads = -1; }, "heads is -1"},
      {[](AttentionCall& c) { c.shape.q_tokens = 0; }, "q_tokens is 0"},
      {[](AttentionCall& c) { c.shape.k_tokens = 2147483647; }, "k_tokens is 2147483647"},
      {[](AttentionCall& c) { c.shape.scale = 0.0F; }, "scale is 0"},
      {[](AttentionCall& c) { c.shape.scale = INFINITY; }, "scale is inf"},
      {[](AttentionCall& c) { c.shape.scale = NAN; }, "scale is nan"},
      {[](AttentionCall& c) { c.q.data = nullptr; }, "q is null"},
      {[](AttentionCall& c) { c.v.data = static_cast<char*>(c.v.data) + 8; }, "v is at"},
      {[](AttentionCall& c) { c.k.token_stride = 63; }, "k.token_stride is 63"},
      {[](AttentionCall& c) { c.k.token_stride = 56; }, "k.token_stride is 56"},
      {[](AttentionCall& c) { c.o.head_stride = 68; }, "o.head_stride is 68"},
      {[](AttentionCall& c) { c.q.batch_stride = std::int64_t{1} << 39; }, "q.batch_stride is"},
      {[](AttentionCall& c) { c.o.head_stride = 0; }, "o.head_stride is 0"},
      {[](AttentionCall& c) { c.lse = nullptr; }, "lse is null"},
      {[](AttentionCall& c) { c.begin = nullptr; }, "begin is null"},
      {[](AttentionCall& c) { c.counter = nullptr; }, "counter is null"},
      {[](AttentionCall& c) { c.list = nullptr; }, "list is null"},
      {[](AttentionCall& c) { c.order = nullptr; }, "order is null"},
      {[](AttentionCall& c) { c.ordered_tiles = 13; }, "ordered_tiles is 13"},
      {[](AttentionCall& c) { c.ordered_tiles = -1; }, "ordered_tiles is -1"},
      {[](AttentionCall& c) { c.sm_count = -1; }, "sm_count is -1"},
      {[](AttentionCall& c) { c.shape.heads = 1 << 30; }, "batch * heads * query blocks is"},
  };
  const AttentionCall good = call_;
  for (const Fault& fault : faults) {
    call_ = good;
    fault.spoil(call_);
    EXPECT_THAT(Refusal(), HasSubstr(fault.words));
  }
}

TEST_F(CheckCallTest, HopperCodeRunsOnHopperAlone) {
  Variant variant = kVariant;
  variant.min_arch = 90;
  EXPECT_NO_THROW(CheckArch(variant, 90));
  EXPECT_THROW(CheckArch(variant, 80), Error);
  EXPECT_THROW(CheckArch(variant, 100), Error);
  variant.min_arch = 80;
  EXPECT_NO_THROW(CheckArch(variant, 86));
  EXPECT_NO_THROW(CheckArch(variant, 90));
  try {
    CheckArch(variant, 75);
    FAIL() << "7.5 has passed";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnavailable);
    EXPECT_THAT(error.what(),
                HasSubstr("needs compute capability 8.0 or higher, but the device has 7.5"));
  }
}

TEST(EmbeddedCodeTest, MachineCodeRunsOnItsMajorNumberAndPtxOnEverythingLater) {
  struct Row {
    const char* architectures;
    std::vector<int> runs;
    std::vector<int> fails;
  };
  const Row rows[] = {
      {"80-real,90a-real", {80, 86, 87, 89, 90}, {75, 100, 103, 110, 120, 121}},
      {"80,90a-real", {80, 86, 89, 90, 100, 103, 110, 120, 121}, {70, 75}},
      {"90a-virtual", {90}, {80, 89, 100, 120}},
      {"86-real", {86, 89}, {80, 90, 100}},
      {"86-virtual", {86, 89, 90, 100, 120}, {80}},
      {"100f-real", {100, 103}, {90, 110, 120}},
      {"100f", {100, 103}, {110, 120}},
      {"120a", {120}, {100, 121}},
      {"", {}, {80, 90}},
      {"native,80x,-real,all,80;90", {}, {80, 90}},
  };
  for (const Row& row : rows) {
    for (const int arch : row.runs) {
      EXPECT_TRUE(CodeRunsOn(row.architectures, arch)) << row.architectures << " on " << arch;
    }
    for (const int arch : row.fails) {
      EXPECT_FALSE(CodeRunsOn(row.architectures, arch)) << row.architectures << " on " << arch;
    }
  }
}

TEST(EmbeddedCodeTest, PortableKernelsOfThisBuildRunOnBlackwellAsPtx) {
  Variant portable = kVariant;
  portable.min_arch = 80;
  Variant hopper = kVariant;
  hopper.min_arch = 90;
  for (const int arch : {80, 86, 89, 90, 100, 103, 120, 121}) {
    EXPECT_TRUE(RunsOn(portable, arch)) << arch << " with " << PortableArchitectures();
    EXPECT_EQ(RunsOn(hopper, arch), arch == 90) << arch;
  }
  EXPECT_FALSE(RunsOn(portable, 75));
}

TEST(EmbeddedCodeTest, PortableKernelsFitTheSharedMemoryOfEveryGpuTheyRunOn) {
  // 8.6, 8.9 and 12.x allow 99 KiB per block, the least of all from 8.0 on.
  // source: CUDA C++ Programming Guide, "Compute capabilities"
  for (const Variant& variant : Variants()) {
    if (variant.min_arch != 80) continue;
    EXPECT_LE(variant.shared_bytes, 99 * 1024) << variant.name;
  }
}

TEST_F(CheckCallTest, MapsDescribeTheViewInBytes) {
  const TensorMapSpec spec = SpecOf(call_.q, call_.shape, 200, 128);
  EXPECT_EQ(spec.data, memory_.data());
  EXPECT_EQ(spec.extents, (std::array<std::uint64_t, 4>{64, 200, 3, 2}));
  EXPECT_EQ(spec.strides, (std::array<std::uint64_t, 3>{3 * 64 * 2, 64 * 2, 3 * 200 * 64 * 2}));
  EXPECT_EQ(spec.box, (std::array<std::uint32_t, 4>{64, 128, 1, 1}));
}

TEST_F(CheckCallTest, MapsOfSingleAxesHaveAStrideTheDriverTakes) {
  call_.shape.batch = 1;
  call_.q.batch_stride = 0;
  const TensorMapSpec spec = SpecOf(call_.q, call_.shape, 200, 128);
  EXPECT_EQ(spec.strides[2], 128U);
}

}  // namespace
}  // namespace dbsp::kernels::gpu
