// SPDX-License-Identifier: Apache-2.0
// The gather kernels, as types. With 128 queries there is one thread block per SM, as in the
// block-sparse kernel, but with one Q buffer and a third stage of K and V, because gathered rows
// take longer to arrive than TMA boxes. With 64 queries there are two thread blocks of one consumer
// warpgroup per SM, so that one computes while the other waits or runs its softmax. At head_dim 128
// their steps are 64 keys, because registers and shared memory of two thread blocks allow no more.
#pragma once

#include "kernels/gpu/sm90/sm90_layout.h"

namespace dbsp::kernels::gpu::gather {

struct Keys128D128 {
  static constexpr const char* kName = "sm90.gather128.d128";
  static constexpr sm90::Tile kTile{.stages = 3,
                                    .q_stages = 1,
                                    .producer_registers = 72,
                                    .consumer_registers = 216,
                                    .gather = true};
};
struct Keys128D64 {
  static constexpr const char* kName = "sm90.gather128.d64";
  static constexpr sm90::Tile kTile{.head_dim = 64,
                                    .stages = 5,
                                    .producer_registers = 72,
                                    .consumer_registers = 216,
                                    .gather = true};
};
struct Keys64D128 {
  static constexpr const char* kName = "sm90.gather64.d128";
  static constexpr sm90::Tile kTile{.q_block = 64,
                                    .k_block = 64,
                                    .warpgroups = 1,
                                    .keys = 64,
                                    .stages = 3,
                                    .q_stages = 1,
                                    .producer_registers = 72,
                                    .consumer_registers = 184,
                                    .gather = true,
                                    .blocks_per_sm = 2};
};
struct Keys64D64 {
  static constexpr const char* kName = "sm90.gather64.d64";
  static constexpr sm90::Tile kTile{.head_dim = 64,
                                    .q_block = 64,
                                    .warpgroups = 1,
                                    .stages = 3,
                                    .q_stages = 1,
                                    .producer_registers = 72,
                                    .consumer_registers = 184,
                                    .gather = true,
                                    .blocks_per_sm = 2};
};

}  // namespace dbsp::kernels::gpu::gather

/// All kernels in the order of the table. A new kernel needs a description above and a line here.
/// The table, the instantiations, the launch functions of builds without CUDA and of the emulator,
/// and the tests use this list.
#define DBSP_GATHER_KERNELS(ROW) \
  ROW(Keys128D128)               \
  ROW(Keys64D128)                \
  ROW(Keys128D64)                \
  ROW(Keys64D64)
