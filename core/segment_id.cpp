// SPDX-License-Identifier: Apache-2.0
#include "core/segment_id.h"

#include "core/error.h"

namespace dbsp {
namespace {

struct Field {
  const char* name;
  int bits;
};
/// Fields from the highest bits down: 62 bits, below kMark.
constexpr Field kFields[] = {{"step", 14}, {"layer", 12}, {"rank", 16}, {"kind", 4}, {"index", 16}};
constexpr std::uint64_t kMark = std::uint64_t{1} << 62;

}  // namespace

std::uint64_t PackSegment(const SegmentKey& key) {
  const int values[] = {key.step, key.layer, key.rank, static_cast<int>(key.kind), key.index};
  std::uint64_t id = 0;
  for (std::size_t i = 0; i < std::size(kFields); ++i) {
    const auto& [name, bits] = kFields[i];
    if (values[i] < 0 || values[i] >= 1 << bits) {
      Fail(ErrorCode::kInvalidArgument,
           "segment {} {}: expected 0 to {}; it has no trace number",
           name,
           values[i],
           (1 << bits) - 1);
    }
    id = id << bits | static_cast<std::uint64_t>(values[i]);
  }
  return kMark | id;
}

std::optional<SegmentKey> UnpackSegment(std::uint64_t id) {
  if ((id & kMark) == 0 || id >> 63 != 0) return std::nullopt;
  int values[std::size(kFields)];
  for (std::size_t i = std::size(kFields); i-- > 0;) {
    values[i] = static_cast<int>(id & ((std::uint64_t{1} << kFields[i].bits) - 1));
    id >>= kFields[i].bits;
  }
  if (values[3] >= kSegmentKinds) return std::nullopt;
  return SegmentKey{.step = values[0],
                    .layer = values[1],
                    .rank = values[2],
                    .kind = static_cast<SegmentKind>(values[3]),
                    .index = values[4]};
}

}  // namespace dbsp
