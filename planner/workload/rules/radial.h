// SPDX-License-Identifier: Apache-2.0
// Radial attention: between two frames a band whose width shrinks with their distance, far pairs of
// frames dropped at regular intervals, one mask for all heads.
#pragma once

#include <cstdint>

#include "core/block_mask.h"
#include "core/shape.h"

namespace dbsp::planner {

struct RadialOptions {
  double decay = 1.0;  ///< band half-width at distance d >= 2: max(block, decay * L(d))
  int block = 128;  ///< the rule's own block, tokens
  bool sink = false;  ///< every pair with frame 0 as keys is kept whole (Wan)
};

/// The mask over ceil(tokens / block) blocks each way, text and padding included.
/// shape    rows and columns = ceil((frames * tokens per frame + text_tokens) / block)
/// requires grid sides >= 1, text_tokens >= 0, block >= 1, decay finite and >= 0
/// threads  pure
/// source   the rule's steps 1-6, docs/formats/workload.md; exact, in time proportional to the
///          blocks of the frame pairs rather than to tokens squared
[[nodiscard]] BlockMask RadialMask(const Grid& grid,
                                   std::int64_t text_tokens,
                                   const RadialOptions& options);

}  // namespace dbsp::planner
