// SPDX-License-Identifier: Apache-2.0
// CuptiLibrary of a build without cupti.h: CMake sets DBSP_NOT_BUILT to the reason.
#include "core/error.h"
#include "runtime/cupti/cupti_library.h"

namespace dbsp::runtime {

struct CuptiLibrary::Api {};

CuptiLibrary::CuptiLibrary(std::unique_ptr<Api> api) : api_(std::move(api)) {}
CuptiLibrary::~CuptiLibrary() = default;
CuptiLibrary::CuptiLibrary(CuptiLibrary&&) noexcept = default;
CuptiLibrary& CuptiLibrary::operator=(CuptiLibrary&&) noexcept = default;

CuptiLibrary CuptiLibrary::Load(const std::string&) {
  Fail(ErrorCode::kUnavailable, "CUPTI: unavailable: not built: {}", DBSP_NOT_BUILT);
}

std::optional<std::string> CuptiLibrary::InstalledVersion(const std::string&) {
  return std::nullopt;
}

std::optional<std::string> CuptiLibrary::HeaderVersion() { return std::nullopt; }

// Load() never returns, so no object exists for this call.
std::string CuptiLibrary::version() const { return {}; }

}  // namespace dbsp::runtime
