// SPDX-License-Identifier: Apache-2.0
#include "runtime/nccl/nccl_library.h"

#include <fmt/format.h>
#include <nccl.h>

#include <utility>

#include "core/error.h"
#include "runtime/dynamic_library.h"
#include "runtime/nccl/nccl_api.h"

namespace dbsp::runtime {
namespace {

std::string VersionText(int code) {
  // NCCL_VERSION() in nccl.h: the major number counts thousands up to 2.8, ten thousands from 2.9
  // on.
  const int major = code < 10000 ? 1000 : 10000;
  return fmt::format("{}.{}.{}", code / major, code % major / 100, code % 100);
}

}  // namespace

struct NcclLibrary::Api {
  explicit Api(const std::string& name) : library(internal::OpenNccl(name)) {}

  DynamicLibrary library;
  decltype(::ncclGetVersion)* GetVersion =
      library.Get<decltype(::ncclGetVersion)>("ncclGetVersion");
  decltype(::ncclGetErrorString)* GetErrorString =
      library.Get<decltype(::ncclGetErrorString)>("ncclGetErrorString");
};

NcclLibrary::NcclLibrary(std::unique_ptr<Api> api) : api_(std::move(api)) {}
NcclLibrary::~NcclLibrary() = default;
NcclLibrary::NcclLibrary(NcclLibrary&&) noexcept = default;
NcclLibrary& NcclLibrary::operator=(NcclLibrary&&) noexcept = default;

NcclLibrary NcclLibrary::Load(const std::string& library) {
  return NcclLibrary(std::make_unique<Api>(library));
}

std::string NcclLibrary::version() const {
  int code = 0;
  const ncclResult_t result = api_->GetVersion(&code);
  if (result != ncclSuccess) {
    Fail(ErrorCode::kUnavailable,
         "NCCL: unavailable: ncclGetVersion: {} (NCCL error {})",
         api_->GetErrorString(result),
         static_cast<int>(result));
  }
  return VersionText(code);
}

std::optional<std::string> NcclLibrary::InstalledVersion(const std::string& library) {
  try {
    return Load(library).version();
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::optional<std::string> NcclLibrary::HeaderVersion() { return VersionText(NCCL_VERSION_CODE); }

}  // namespace dbsp::runtime
