// SPDX-License-Identifier: Apache-2.0
// GPU facts of a build with DBSP_ENABLE_NVML=OFF.
#include "core/error.h"
#include "runtime/nvml/gpu_facts.h"

namespace dbsp::runtime {

std::map<std::string, std::string> GpuFacts(const std::string&, const std::string&) {
  Fail(ErrorCode::kUnavailable, "NVML: unavailable: not built: {}", DBSP_NOT_BUILT);
}

std::map<std::string, std::string> GpuLinks(const std::vector<std::string>&, const std::string&) {
  Fail(ErrorCode::kUnavailable, "NVML: unavailable: not built: {}", DBSP_NOT_BUILT);
}

}  // namespace dbsp::runtime
