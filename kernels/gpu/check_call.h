// SPDX-License-Identifier: Apache-2.0
// What every launcher refuses before it touches the device.
#pragma once

#include "kernels/gpu/attention.h"

namespace dbsp::kernels::gpu {

/// Checks one call against one variant: sizes, strides, alignment, pointers. Device memory is not
/// read: that lists ascend and name existing blocks is the caller's part.
/// errors  Error{kInvalidArgument}, one line naming the variant, the field, its value and what is
///         expected
void CheckCall(const Variant& variant, const AttentionCall& call);

/// Whether the variant's machine code runs on compute capability `arch`, ten times the major plus
/// the minor: wgmma and TMA code on 9.0 alone, 8.0 code on all of 8.x and, as its own build, later.
[[nodiscard]] bool RunsOn(const Variant& variant, int arch);

/// `arch` as ten times the major plus the minor compute capability of the device.
/// errors  Error{kUnavailable} when the variant's machine code cannot run there
void CheckArch(const Variant& variant, int arch);

/// Query blocks of one head, ceil(q_tokens / q_block), and how many of them one entry of the order
/// covers. The call must have passed CheckCall.
int QBlocks(const Variant& variant, const AttentionShape& shape);
int BlocksPerEntry(const Variant& variant);

}  // namespace dbsp::kernels::gpu
