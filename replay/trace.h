// SPDX-License-Identifier: Apache-2.0
// Replayed timelines as Chrome traces (chrome://tracing, Perfetto, Holistic Trace Analysis).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/records.h"

namespace dbsp::replay {

/// One rank's trace: every replayed cell after the one before it, a lane for compute and copies and
/// a lane for exchanges and hops, which run beside each other.
/// units    ts and dur in microseconds from the start of the first cell
/// requires 0 <= rank < record.ranks
[[nodiscard]] std::string ChromeTrace(const ReplayRecord& record, int rank);

/// DIR/rank0.json, DIR/rank1.json, ...: the files of WriteTraces().
[[nodiscard]] std::vector<std::filesystem::path> TraceFiles(const std::filesystem::path& directory,
                                                            int ranks);

/// Writes DIR/rank0.json, DIR/rank1.json, ...; makes DIR.
/// errors  Error{kIo}
void WriteTraces(const ReplayRecord& record, const std::filesystem::path& directory);

}  // namespace dbsp::replay
