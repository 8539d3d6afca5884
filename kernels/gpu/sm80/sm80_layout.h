// SPDX-License-Identifier: Apache-2.0
// Sizes and shared memory of one portable block-sparse kernel. Constants only: the host's variant
// table and tests read them too.
#pragma once

namespace dbsp::kernels::gpu::sm80 {

constexpr int kWarp = 32;
constexpr int kWarpRows = 32;  ///< query rows of a warp: two m16 tiles share every K and V fragment
constexpr int kStepKeys = 64;  ///< keys of a main-loop step
constexpr int kChunkBytes = 16;

/// Thread counts and shared memory of one kernel.
template <int kHeadDim_, int kQBlock_, int kKBlock_>
struct Layout {
  static_assert(kHeadDim_ == 64 || kHeadDim_ == 128, "panels are 64 columns; registers fit 128");
  static_assert(kQBlock_ == 64 || kQBlock_ == 128, "two or four warps");
  static_assert(kKBlock_ % kStepKeys == 0, "a step lies in one key block");
  static constexpr int kHeadDim = kHeadDim_;
  static constexpr int kRows = kQBlock_;
  static constexpr int kKBlock = kKBlock_;
  static constexpr int kStepsPerBlock = kKBlock / kStepKeys;
  static constexpr int kThreads = kRows / kWarpRows * kWarp;
  static constexpr int kPanels = kHeadDim / 64;
  static constexpr int kChunks = kHeadDim / 8;  ///< 16-byte chunks of a row
  /// K and V tiles alternate in a ring of three slots. The copy of a tile starts one whole step
  /// before its use.
  static constexpr int kSlots = 3;
  static constexpr int kSlotBytes = kStepKeys * kHeadDim * 2;
  static constexpr int kRingOffset = kRows * kHeadDim * 2;  ///< Q lies before the ring
  static constexpr int kTicketOffset = kRingOffset + kSlots * kSlotBytes;
  // Values used once per step or per tile are in shared memory, because no register is left for
  // them.
  static constexpr int kTileOffset = kTicketOffset + 4;
  static constexpr int kKOffset = kTicketOffset + 8;
  static constexpr int kVOffset = kTicketOffset + 16;
  static constexpr int kSharedBytes = kTicketOffset + 32;
  /// Thread blocks per SM, second argument of __launch_bounds__.
  static constexpr int kBlocksPerSm = (kHeadDim == 64 ? 3 : 2) * (128 / kRows);
};

// The kernels, named after the blocks of their lists.
struct Block128x128D128 : Layout<128, 128, 128> {
  static constexpr const char* kName = "sm80.block128x128.d128";
};
struct Block128x64D128 : Layout<128, 128, 64> {
  static constexpr const char* kName = "sm80.block128x64.d128";
};
struct Block64x128D128 : Layout<128, 64, 128> {
  static constexpr const char* kName = "sm80.block64x128.d128";
};
struct Block64x64D128 : Layout<128, 64, 64> {
  static constexpr const char* kName = "sm80.block64x64.d128";
};
struct Block128x128D64 : Layout<64, 128, 128> {
  static constexpr const char* kName = "sm80.block128x128.d64";
};
struct Block128x64D64 : Layout<64, 128, 64> {
  static constexpr const char* kName = "sm80.block128x64.d64";
};
struct Block64x128D64 : Layout<64, 64, 128> {
  static constexpr const char* kName = "sm80.block64x128.d64";
};
struct Block64x64D64 : Layout<64, 64, 64> {
  static constexpr const char* kName = "sm80.block64x64.d64";
};

}  // namespace dbsp::kernels::gpu::sm80

/// All kernels in the order of the table. A new kernel needs a description above and a line here.
/// The table, the instantiations, the launch functions of builds without CUDA and of the emulator,
/// and the tests use these lists. There is one list per head dimension, because each has its own
/// source file.
#define DBSP_SM80_KERNELS_D128(ROW) \
  ROW(Block128x128D128)             \
  ROW(Block128x64D128)              \
  ROW(Block64x128D128)              \
  ROW(Block64x64D128)
#define DBSP_SM80_KERNELS_D64(ROW) \
  ROW(Block128x128D64)             \
  ROW(Block128x64D64)              \
  ROW(Block64x128D64)              \
  ROW(Block64x64D64)
#define DBSP_SM80_KERNELS(ROW) DBSP_SM80_KERNELS_D128(ROW) DBSP_SM80_KERNELS_D64(ROW)
