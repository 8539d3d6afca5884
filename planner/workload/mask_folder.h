// SPDX-License-Identifier: Apache-2.0
// Folders of array files, one per step, layer, guidance pass and rank, as a runtime saves them.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/workload.h"
#include "planner/workload/recording.h"

namespace dbsp::planner {

/// Numbers in the name of a file: "probe_step003_layer012_r1.pt" has step 3, layer 12 and rank 1.
/// A number follows "step", "layer", "pass" or "rank", or for a rank "r" behind a '_', '-' or '.'.
struct FilePlace {
  std::optional<int> step;
  std::optional<int> layer;
  std::optional<int> pass;
  std::optional<int> rank;
};
[[nodiscard]] FilePlace PlaceOf(const std::filesystem::path& path);

/// Reads the masks of each file by the rule `array` with `options` ("lut=delta,name=m", often "").
/// A file without a number for steps, layers or passes holds for all of them. Rank r of n ranks has
/// the heads from r H / n to (r + 1) H / n. `shape` gives the model, whose heads are those of all
/// ranks, and the block size.
/// \param notes what was assumed is added, one sentence each
/// \param queries set to the queries per list of single keys, or 0 for block masks; lists are
///         recorded as masks of queries x 1 blocks
/// requires at least one file
/// errors  Error{kMismatch} for names that do not say where their masks belong and for heads that
///         do not divide among the ranks; those of the rule `array`, with the file
[[nodiscard]] std::vector<Recording> ReadMaskFolder(const std::vector<std::filesystem::path>& files,
                                                    const std::string& options,
                                                    const Workload& shape,
                                                    std::vector<std::string>& notes,
                                                    int& queries);

}  // namespace dbsp::planner
