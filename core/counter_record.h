// SPDX-License-Identifier: Apache-2.0
// Hardware counters of a trial, as the profiler reads them and the database stores them.
#pragma once

#include <map>
#include <string>

namespace dbsp {

/// One launch of a trial's work, in a pass of its own.
struct CounterRecord {
  std::string source;  ///< "cupti.range", "nvml.gpm" or "none"
  std::string why;  ///< what better sources said, one line; "" when the best one worked
  std::map<std::string, double> values;  ///< by metric name, in the metric's own unit; finite
  bool operator==(const CounterRecord&) const = default;
};

}  // namespace dbsp
