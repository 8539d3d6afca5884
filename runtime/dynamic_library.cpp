// SPDX-License-Identifier: Apache-2.0
#include "runtime/dynamic_library.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "core/error.h"

namespace dbsp::runtime {

DynamicLibrary::DynamicLibrary(std::string name, const std::string& what, const std::string& remedy)
    // RTLD_NODELETE, because these libraries start threads and register handlers.
    : name_(std::move(name)),
      handle_(dlopen(name_.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)) {
  if (handle_) return;
  const char* text = dlerror();
  const std::string_view reason = text == nullptr ? "unknown reason" : text;
  const bool missing =
      reason.find("No such file") != std::string_view::npos && reason.starts_with(name_);
  const std::string fact = missing ? fmt::format("{} not found", name_)
                                   : fmt::format("{} cannot be loaded: {}", name_, reason);
  if (remedy.empty()) Fail(ErrorCode::kUnavailable, "{} ({})", what, fact);
  Fail(ErrorCode::kUnavailable, "{}: {}; {}", what, fact, remedy);
}

void DynamicLibrary::Close::operator()(void* handle) const noexcept { dlclose(handle); }

void* DynamicLibrary::TryFind(const char* symbol) const { return dlsym(handle_.get(), symbol); }

void* DynamicLibrary::Find(const char* symbol) const {
  void* address = TryFind(symbol);
  if (address == nullptr) {
    Fail(ErrorCode::kUnavailable, "{} has no function {}; the library is too old", name_, symbol);
  }
  return address;
}

}  // namespace dbsp::runtime
