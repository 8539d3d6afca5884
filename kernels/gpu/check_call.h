// SPDX-License-Identifier: Apache-2.0
// Checks of an AttentionCall that every launcher makes before it uses the device.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>

#include "kernels/gpu/attention.h"

namespace dbsp::kernels::gpu {

/// Largest count that the kernels' 32-bit indices hold.
inline constexpr std::int64_t kMaxInt = std::numeric_limits<std::int32_t>::max();

/// Checks one call for one variant: sizes, strides, alignment, pointers. Device memory is not read.
/// The caller ensures that lists ascend and name existing blocks.
/// errors  Error{kInvalidArgument}, one line: variant, field, value and what is expected
void CheckCall(const Variant& variant, const AttentionCall& call);

/// True when the variant's code of this build runs on compute capability `arch` (10 * major +
/// minor). Code with wgmma and TMA runs only on 9.0. Portable kernels run where the build has
/// machine code or PTX for them (embedded_code.h); the default build has both for all from 8.0 on.
[[nodiscard]] bool RunsOn(const Variant& variant, int arch);

/// Why the variant does not run on `arch`: "needs compute capability 9.0, but the device has 8.0",
/// or which architectures the build has. Nothing when it does.
[[nodiscard]] std::optional<std::string> WhyNotOn(const Variant& variant, int arch);

/// arch    compute capability of the device, 10 * major + minor
/// errors  Error{kUnavailable} when the variant's machine code cannot run there
void CheckArch(const Variant& variant, int arch);

/// Query blocks of one head, ceil(q_tokens / q_block). requires a call that passed CheckCall
int QBlocks(const Variant& variant, const AttentionShape& shape);
/// Query blocks per entry of AttentionCall::order.
int BlocksPerEntry(const Variant& variant);

}  // namespace dbsp::kernels::gpu
