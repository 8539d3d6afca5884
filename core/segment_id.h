// SPDX-License-Identifier: Apache-2.0
// A number that identifies a segment of a plan. Tracing libraries attach it to kernels and copies
// as their external correlation id.
#pragma once

#include <cstdint>
#include <optional>

#include "core/strategy.h"

namespace dbsp {

/// Identifies a segment of a (step, layer).
struct SegmentKey {
  int step = 0;
  int layer = 0;
  int rank = 0;
  SegmentKind kind = SegmentKind::kPack;
  int index = 0;
  bool operator==(const SegmentKey&) const = default;
};

/// A distinct number for every key, never 0.
/// requires step < 2^14, layer < 2^12, rank < 2^16, index < 2^16, none negative
/// errors   Error{kInvalidArgument} naming the field that does not fit
[[nodiscard]] std::uint64_t PackSegment(const SegmentKey& key);

/// The key of `id`. Missing when PackSegment() never returns `id`, as for numbers of other tools.
[[nodiscard]] std::optional<SegmentKey> UnpackSegment(std::uint64_t id);

}  // namespace dbsp
