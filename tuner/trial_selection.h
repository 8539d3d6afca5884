// SPDX-License-Identifier: Apache-2.0
// Trials of a database that a cost model uses: successful ones of one device, the newest of every
// configuration.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/records.h"
#include "db/database.h"
#include "tuner/curve.h"

namespace dbsp::tuner {

/// Median time of one trial and the relative spread of its samples: the larger distance of the two
/// quartiles from the median, over the median.
struct UsableTrial {
  const Trial* trial = nullptr;
  double ns = 0;
  double spread = 0;
  /// The same for the samples without overlap of an overlap trial; 0 for other trials.
  double alone_ns = 0;
  double alone_spread = 0;
};

struct TrialSelection {
  Provenance device;
  std::vector<UsableTrial> trials;  ///< oldest first; of equal configurations the newest only
  std::vector<std::string> remarks;  ///< sentences on what was selected and left out
};

/// Trials of the device that `device` identifies (by kind, name or part of it, or UUID). Without
/// it, of the device that was measured last.
/// errors  Error{kNotFound} when there is no usable trial, or none of that device
/// owns    nothing; `trials` must outlive the result
[[nodiscard]] TrialSelection SelectTrials(std::span<const db::StoredTrial> trials,
                                          std::span<const db::StoredEnvironment> environments,
                                          const std::optional<std::string>& device,
                                          const std::string& database,
                                          const std::string& profile_command);

}  // namespace dbsp::tuner
