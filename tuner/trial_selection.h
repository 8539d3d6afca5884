// SPDX-License-Identifier: Apache-2.0
// Which trials of a database a cost model may use: finished ones, of one device, each
// configuration once.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/records.h"
#include "db/database.h"
#include "tuner/curve.h"

namespace dbsp::tuner {

/// One usable trial: the median of all its samples, and how far their middle half reaches.
struct UsableTrial {
  const Trial* trial = nullptr;
  double ns = 0;
  double spread = 0;
  /// Of an overlap: the same of the samples with nothing beside; 0 of others.
  double alone_ns = 0;
  double alone_spread = 0;
};

struct TrialSelection {
  Provenance device;
  std::vector<UsableTrial> trials;  ///< oldest first; of equal configurations the newest only
  std::vector<std::string> remarks;  ///< what was left out, in words
};

/// Trials of the device that `device` names (kind, name or part of it, UUID), or of the one
/// measured last when it is empty.
/// errors  Error{kNotFound} when there is no usable trial at all or none of that device
/// owns    nothing: `trials` must outlive the result
[[nodiscard]] TrialSelection SelectTrials(std::span<const db::StoredTrial> trials,
                                          std::span<const db::StoredEnvironment> environments,
                                          const std::string& device,
                                          const std::string& database,
                                          const std::string& profile_command);

}  // namespace dbsp::tuner
