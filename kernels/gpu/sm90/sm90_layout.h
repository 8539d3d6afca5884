// SPDX-License-Identifier: Apache-2.0
// Sizes and shared memory of one block-sparse kernel for compute capability 9.0. Constants only:
// the host's variant table and tests read them too.
#pragma once

#include <cstdint>

namespace dbsp::kernels::gpu::sm90 {

/// Compile-time parameters of a kernel. A thread block has one producer warpgroup, which loads, and
/// consumer warpgroups of 64 query rows each, which compute.
struct Tile {
  int head_dim = 128;
  int q_block = 128;  ///< tokens of a list's query block; 64: each warpgroup has its own list
  int k_block = 128;  ///< tokens of a list's key block; half of `keys`: two blocks are one step
  int warpgroups = 2;  ///< consumers
  int keys = 128;  ///< of a step
  int stages = 2;  ///< steps of K and V in shared memory
  int q_stages = 2;
  int producer_registers = 40;
  int consumer_registers = 232;
  /// Lists of single keys (gather/key_producer.h): all threads of the producer warpgroup load, and
  /// k_block equals `keys`.
  bool gather = false;
  int blocks_per_sm = 1;
};

/// Flags of a step. A message (one per tile) has kRagged and kDummy of the first step. Where
/// warpgroups have their own lists, a note (one per step) has the flags of its step.
enum StepFlags : std::uint32_t {
  kRagged = 1,  ///< the step's first key block is the last one of the sequence, and short
  kDummy = 2,  ///< the step has no second key block; its second half is zeros
  kOwner0 = 4,  ///< the first warpgroup's list holds the step; kOwner0 << 1: the second's
  kLast = 16,  ///< last step of the tile
};

/// Value of Message::row after the last tile.
constexpr std::uint32_t kNoMoreTiles = 0xFFFFFFFFU;
constexpr int kMessageSlots = 2;
constexpr int kMessageBytes = 16;  ///< message.h

// Barriers of bar.sync; 0 is SyncThreads.
constexpr int kTurnBarrier = 1;  ///< + warpgroup: permission to use the tensor cores
constexpr int kWarpgroupBarrier = 4;  ///< + warpgroup: its 128 threads

template <Tile kTile>
struct Layout {
  static constexpr int kRows = 64 * kTile.warpgroups;
  static constexpr int kConsumerThreads = 128 * kTile.warpgroups;
  static constexpr int kThreads = 128 + kConsumerThreads;
  static constexpr int kPanels = kTile.head_dim / 64;  ///< of 64 channels, 128 bytes a row
  static constexpr bool kOwnLists = kTile.q_block < kRows;
  static constexpr bool kPairs = kTile.k_block < kTile.keys;
  static constexpr int kBlocksPerEntry = kRows / kTile.q_block;
  /// Arrivals at the full barrier of a step: one by the loading thread, for the bytes of its TMA
  /// boxes; gather: in addition one per producer thread for its copies.
  static constexpr int kStepArrivals = kTile.gather ? 129 : 1;
  /// Warps that receive a message: the consumer warps; gather: also the four producer warps.
  static constexpr int kMessageReaders = (kConsumerThreads + (kTile.gather ? 128 : 0)) / 32;

  static constexpr int kQPanelBytes = kRows * 128;
  static constexpr int kStepPanelBytes = kTile.keys * 128;
  static constexpr int kQBytes = kPanels * kQPanelBytes;
  static constexpr int kStepBytes = kPanels * kStepPanelBytes;  ///< of K, and of V

  static constexpr int kQ = 0;
  static constexpr int kK = kQ + kTile.q_stages * kQBytes;
  static constexpr int kV = kK + kTile.stages * kStepBytes;
  static constexpr int kBarriers = kV + kTile.stages * kStepBytes;
  static constexpr int kQFull = kBarriers;
  static constexpr int kQEmpty = kQFull + 8 * kTile.q_stages;
  static constexpr int kKFull = kQEmpty + 8 * kTile.q_stages;
  static constexpr int kKEmpty = kKFull + 8 * kTile.stages;
  static constexpr int kVFull = kKEmpty + 8 * kTile.stages;
  static constexpr int kVEmpty = kVFull + 8 * kTile.stages;
  static constexpr int kMessageFull = kVEmpty + 8 * kTile.stages;
  static constexpr int kMessageEmpty = kMessageFull + 8 * kMessageSlots;
  static constexpr int kMessages = kMessageEmpty + 8 * kMessageSlots;
  static constexpr int kNotes = kMessages + kMessageBytes * kMessageSlots;
  static constexpr int kSharedBytes = kNotes + 4 * kTile.stages;

  static_assert(kTile.head_dim == 64 || kTile.head_dim == 128, "panels are 64 channels wide");
  static_assert(kTile.keys % 16 == 0 && kTile.keys <= 256, "a product sums 16 keys at a time");
  static_assert(kTile.k_block == kTile.keys || (kTile.k_block == 64 && kTile.keys == 128),
                "a step is one key block, or two of 64");
  static_assert(kTile.q_block == kRows || (kTile.q_block == 64 && kTile.warpgroups == 2),
                "one list per thread block, or one for each of two warpgroups");
  static_assert(kQPanelBytes % 1024 == 0 && kStepPanelBytes % 1024 == 0,
                "the swizzle repeats every 1024 bytes and descriptors assume that it starts there");
  static_assert(kMessages % 16 == 0, "a message is read as words next to 8-byte barriers");
  static_assert(kSharedBytes <= 232448, "shared memory of one thread block");
  static_assert(kTile.blocks_per_sm * (kSharedBytes + 1024) <= 233472,
                "shared memory of one multiprocessor; each thread block costs 1 KiB more");
  static_assert(kTile.producer_registers % 8 == 0 && kTile.consumer_registers % 8 == 0,
                "setmaxnreg takes multiples of 8");
  static_assert(kTile.blocks_per_sm * (128 * kTile.producer_registers +
                                       kConsumerThreads * kTile.consumer_registers) <=
                    65536,
                "registers of one multiprocessor");
  static_assert(kTile.warpgroups <= 3, "named barriers 4 to 6 are the warpgroups' own");
};

// The kernels, as types: nvcc 13.0 cannot name an entry by a constant of class type. Two stages of
// 128 keys fill shared memory at head_dim 128; at 64 four stages fit.
struct Block128x128D128 {
  static constexpr const char* kName = "sm90.block128x128.d128";
  static constexpr Tile kTile{};
};
struct Block128x64D128 {
  static constexpr const char* kName = "sm90.block128x64.d128";
  static constexpr Tile kTile{.k_block = 64};
};
struct Block64x128D128 {
  static constexpr const char* kName = "sm90.block64x128.d128";
  static constexpr Tile kTile{.q_block = 64};
};
struct Block64x64D128 {
  static constexpr const char* kName = "sm90.block64x64.d128";
  static constexpr Tile kTile{.q_block = 64, .k_block = 64};
};
struct Block128x128D64 {
  static constexpr const char* kName = "sm90.block128x128.d64";
  static constexpr Tile kTile{.head_dim = 64, .stages = 4};
};
struct Block128x64D64 {
  static constexpr const char* kName = "sm90.block128x64.d64";
  static constexpr Tile kTile{.head_dim = 64, .k_block = 64, .stages = 4};
};
struct Block64x128D64 {
  static constexpr const char* kName = "sm90.block64x128.d64";
  static constexpr Tile kTile{.head_dim = 64, .q_block = 64, .stages = 4};
};
struct Block64x64D64 {
  static constexpr const char* kName = "sm90.block64x64.d64";
  static constexpr Tile kTile{.head_dim = 64, .q_block = 64, .k_block = 64, .stages = 4};
};
// Larger tiles, for masks of their block size and for dense attention (a full list): fewer bytes
// from the second-level cache per product.
struct Block128x176D128 {
  static constexpr const char* kName = "sm90.block128x176.d128";
  static constexpr Tile kTile{.k_block = 176, .keys = 176, .q_stages = 1};
};
struct Block192x128D64 {
  static constexpr const char* kName = "sm90.block192x128.d64";
  static constexpr Tile kTile{.head_dim = 64,
                              .q_block = 192,
                              .warpgroups = 3,
                              .stages = 4,
                              .producer_registers = 32,
                              .consumer_registers = 160};
};

}  // namespace dbsp::kernels::gpu::sm90

/// All kernels in the order of the table. A new kernel needs a description above and a line here.
/// The table, the instantiations, the launch functions of builds without CUDA and of the emulator,
/// and the tests use these lists. There is one list per head dimension, because each has its own
/// source file.
#define DBSP_SM90_KERNELS_D128(ROW) \
  ROW(Block128x128D128)             \
  ROW(Block128x64D128)              \
  ROW(Block64x128D128)              \
  ROW(Block64x64D128)               \
  ROW(Block128x176D128)
#define DBSP_SM90_KERNELS_D64(ROW) \
  ROW(Block128x128D64)             \
  ROW(Block128x64D64)              \
  ROW(Block64x128D64)              \
  ROW(Block64x64D64)               \
  ROW(Block192x128D64)
#define DBSP_SM90_KERNELS(ROW) DBSP_SM90_KERNELS_D128(ROW) DBSP_SM90_KERNELS_D64(ROW)
