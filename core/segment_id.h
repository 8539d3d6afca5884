// SPDX-License-Identifier: Apache-2.0
// One number for one segment of a plan, for tracing libraries that tie what was launched to a
// number of the caller's.
#pragma once

#include <cstdint>
#include <optional>

#include "core/strategy.h"

namespace dbsp {

/// Which segment of which (step, layer).
struct SegmentKey {
  int step = 0;
  int layer = 0;
  int rank = 0;
  SegmentKind kind = SegmentKind::kPack;
  int index = 0;
  bool operator==(const SegmentKey&) const = default;
};

/// A different number for every key, never 0.
/// requires step < 2^14, layer < 2^12, rank < 2^16, index < 2^16, none negative
/// errors   Error{kInvalidArgument} naming the field that does not fit
[[nodiscard]] std::uint64_t PackSegment(const SegmentKey& key);

/// Nothing for a number that PackSegment() does not make, such as another tool's.
[[nodiscard]] std::optional<SegmentKey> UnpackSegment(std::uint64_t id);

}  // namespace dbsp
