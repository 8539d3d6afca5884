// SPDX-License-Identifier: Apache-2.0
// Hardware counters of a trial. The profiler reads them and the database stores them.
#pragma once

#include <map>
#include <string>

namespace dbsp {

/// Counters of one launch of the work of a trial. The launch is separate from the timed ones.
struct CounterRecord {
  std::string source;  ///< "cupti.range", "nvml.gpm" or "none"
  std::string why;  ///< one line: why better sources failed; "" when the best source worked
  std::map<std::string, double> values;  ///< by metric name, in the unit of the metric; finite
  bool operator==(const CounterRecord&) const = default;
};

}  // namespace dbsp
