// SPDX-License-Identifier: Apache-2.0
// Transposition of square bit matrices, by which columns of masks are reordered a word at a time.
#pragma once

#include <cstdint>

namespace dbsp::planner {

/// Transposes a matrix of 64 x 64 bits in place: bit j of word i becomes bit i of word j.
/// shape  block[64]
/// source Hacker's Delight (Warren 2013, 7-3), with bit 0 as the first column
void TransposeBits(std::uint64_t* block);

}  // namespace dbsp::planner
