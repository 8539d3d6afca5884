// SPDX-License-Identifier: Apache-2.0
#include "runtime/cupti/cupti_library.h"

#include <cupti.h>
#include <fmt/format.h>

#include <cstdint>
#include <utility>

#include "core/error.h"
#include "runtime/cupti/cupti_check.h"
#include "runtime/dynamic_library.h"

namespace dbsp::runtime {
namespace {

/// From CUDA 13 on, versions are xxyyzz with two digits each (cupti_version.h).
std::string VersionText(std::uint32_t code) {
  return fmt::format("{}.{}.{}", code / 10000, code % 10000 / 100, code % 100);
}

}  // namespace

struct CuptiLibrary::Api {
  explicit Api(const std::string& name) : library(internal::OpenCupti(name)) {}

  DynamicLibrary library;
  decltype(::cuptiGetVersion)* GetVersion =
      library.Get<decltype(::cuptiGetVersion)>("cuptiGetVersion");
  decltype(::cuptiGetResultString)* GetResultString =
      library.Get<decltype(::cuptiGetResultString)>("cuptiGetResultString");
};

CuptiLibrary::CuptiLibrary(std::unique_ptr<Api> api) : api_(std::move(api)) {}
CuptiLibrary::~CuptiLibrary() = default;
CuptiLibrary::CuptiLibrary(CuptiLibrary&&) noexcept = default;
CuptiLibrary& CuptiLibrary::operator=(CuptiLibrary&&) noexcept = default;

CuptiLibrary CuptiLibrary::Load(const std::string& library) {
  return CuptiLibrary(std::make_unique<Api>(library));
}

std::string CuptiLibrary::version() const {
  std::uint32_t code = 0;
  const CUptiResult result = api_->GetVersion(&code);
  if (result != CUPTI_SUCCESS) {
    const char* text = nullptr;
    if (api_->GetResultString(result, &text) != CUPTI_SUCCESS || text == nullptr) {
      text = "unknown error";
    }
    Fail(ErrorCode::kUnavailable,
         "CUPTI: unavailable: cuptiGetVersion: {} (CUPTI error {})",
         text,
         static_cast<int>(result));
  }
  return VersionText(code);
}

std::optional<std::string> CuptiLibrary::HeaderVersion() { return VersionText(CUPTI_API_VERSION); }

std::optional<std::string> CuptiLibrary::InstalledVersion(const std::string& library) {
  try {
    return Load(library).version();
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace dbsp::runtime
