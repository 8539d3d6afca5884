// SPDX-License-Identifier: Apache-2.0
// GPM of a build with DBSP_ENABLE_NVML=OFF.
#include "core/error.h"
#include "runtime/nvml/nvml_gpm.h"

namespace dbsp::runtime {

std::map<std::string, double> MeasureGpm(const std::string&,
                                         const std::function<void()>&,
                                         const std::string&) {
  Fail(ErrorCode::kUnavailable, "NVML: unavailable: not built: {}", DBSP_NOT_BUILT);
}

}  // namespace dbsp::runtime
