// SPDX-License-Identifier: Apache-2.0
// What CUPTI saw of one run of a cell, by segment.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/segment_id.h"
#include "runtime/activity.h"

namespace dbsp::replay {

/// How long the device was at work for one segment: its kernels and copies without what lies
/// between them. The difference to the segment's time by events is launch gaps.
struct SegmentBusy {
  SegmentKey key;
  std::int64_t busy_ns = 0;
  int kernels = 0;
  int copies = 0;
};

struct ActivityReport {
  std::string problem = {};  ///< why nothing was traced; "" when it was
  std::string losses = {};  ///< records that the trace lacks, in words; "" when it is whole
  std::vector<SegmentBusy> segments = {};  ///< by rank, kind, index
  std::int64_t untied = 0;  ///< kernels and copies of no segment, such as copies between ranks
};

[[nodiscard]] ActivityReport ReportOf(const runtime::ActivityTrace& trace);

}  // namespace dbsp::replay
