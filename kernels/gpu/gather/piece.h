// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace dbsp::kernels::gpu {

/// Consecutive keys that the gather kernel fetches by one tensor copy: rows of its K and V boxes,
/// and what lists are arranged by (kRunKeys of kernels/key_lists.h).
constexpr int kPieceKeys = 64;

}  // namespace dbsp::kernels::gpu
