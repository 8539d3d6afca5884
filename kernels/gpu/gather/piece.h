// SPDX-License-Identifier: Apache-2.0
// Size of the groups of consecutive keys in the gather kernel.
#pragma once

namespace dbsp::kernels::gpu {

/// Number of consecutive keys that the gather kernel loads with one TMA box. Equals kRunKeys of
/// kernels/key_lists.h, by which lists are arranged.
constexpr int kPieceKeys = 64;

}  // namespace dbsp::kernels::gpu
