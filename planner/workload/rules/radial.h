// SPDX-License-Identifier: Apache-2.0
// Radial attention. Between two frames a band is active whose width shrinks with their distance.
// Distant pairs of frames are dropped at regular intervals. All heads share one mask.
#pragma once

#include <cstdint>

#include "core/block_mask.h"
#include "core/shape.h"

namespace dbsp::planner {

struct RadialOptions {
  double decay = 1.0;  ///< band half-width at distance d >= 2: max(block, decay * L(d))
  int block = 128;  ///< the rule's own block, tokens
  bool sink = false;  ///< keys of frame 0 are active for all queries (Wan)
};

/// The mask over ceil(tokens / block) blocks in each direction, text and padding included.
/// shape    rows and columns = ceil((frames * tokens per frame + text_tokens) / block)
/// requires grid sides >= 1, text_tokens >= 0, block >= 1, decay finite and >= 0
/// source   steps 1 to 6 of the rule in docs/formats/workload.md. Exact; takes time proportional to
///          the blocks of the frame pairs, not to the square of the tokens.
[[nodiscard]] BlockMask RadialMask(const Grid& grid,
                                   std::int64_t text_tokens,
                                   const RadialOptions& options);

}  // namespace dbsp::planner
