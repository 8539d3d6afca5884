// SPDX-License-Identifier: Apache-2.0
// Checks of an AttentionCall that every launcher makes before it uses the device.
#pragma once

#include "kernels/gpu/attention.h"

namespace dbsp::kernels::gpu {

/// Checks one call for one variant: sizes, strides, alignment, pointers. Device memory is not read.
/// The caller ensures that lists ascend and name existing blocks. errors  Error{kInvalidArgument},
/// one line naming the variant, the field, its value and what is
///         expected
void CheckCall(const Variant& variant, const AttentionCall& call);

/// True when the variant's machine code runs on compute capability `arch` (10 * major + minor).
/// Code with wgmma and TMA runs only on 9.0; code for 8.0 runs on 8.0 and later.
[[nodiscard]] bool RunsOn(const Variant& variant, int arch);

/// arch    compute capability of the device, 10 * major + minor
/// errors  Error{kUnavailable} when the variant's machine code cannot run there
void CheckArch(const Variant& variant, int arch);

/// Query blocks of one head, ceil(q_tokens / q_block). requires a call that passed CheckCall
int QBlocks(const Variant& variant, const AttentionShape& shape);
/// Query blocks per entry of AttentionCall::order.
int BlocksPerEntry(const Variant& variant);

}  // namespace dbsp::kernels::gpu
