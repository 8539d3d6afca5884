// SPDX-License-Identifier: Apache-2.0
// NcclLibrary of a build without nccl.h: CMake sets DBSP_NOT_BUILT to the reason.
#include "core/error.h"
#include "runtime/nccl/nccl_library.h"

namespace dbsp::runtime {

struct NcclLibrary::Api {};

NcclLibrary::NcclLibrary(std::unique_ptr<Api> api) : api_(std::move(api)) {}
NcclLibrary::~NcclLibrary() = default;
NcclLibrary::NcclLibrary(NcclLibrary&&) noexcept = default;
NcclLibrary& NcclLibrary::operator=(NcclLibrary&&) noexcept = default;

NcclLibrary NcclLibrary::Load(const std::string&) {
  Fail(ErrorCode::kUnavailable, "NCCL: unavailable: not built: {}", DBSP_NOT_BUILT);
}

std::optional<std::string> NcclLibrary::InstalledVersion(const std::string&) {
  return std::nullopt;
}
std::optional<std::string> NcclLibrary::HeaderVersion() { return std::nullopt; }

// Load() never returns, so no object exists for this call.
std::string NcclLibrary::version() const { return {}; }

}  // namespace dbsp::runtime
