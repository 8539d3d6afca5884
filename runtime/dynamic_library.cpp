// SPDX-License-Identifier: Apache-2.0
#include "runtime/dynamic_library.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string_view>
#include <utility>
#include <vector>

#include "core/error.h"
#include "runtime/library_search.h"

namespace dbsp::runtime {

namespace {

/// Opens a library. On failure `problem` is the linker's text; "" when the file does not exist.
void* Open(const std::string& name, std::string& problem) {
  // RTLD_NODELETE, because these libraries start threads and register handlers.
  void* const handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (handle != nullptr) return handle;
  const char* text = dlerror();
  const std::string_view reason = text == nullptr ? "unknown reason" : text;
  const bool missing =
      reason.find("No such file") != std::string_view::npos && reason.starts_with(name);
  problem = missing ? "" : reason;
  return nullptr;
}

}  // namespace

DynamicLibrary::DynamicLibrary(std::string name, Handle handle)
    : name_(std::move(name)), handle_(std::move(handle)) {}

DynamicLibrary::DynamicLibrary(std::string name, const std::string& what) : name_(std::move(name)) {
  std::string problem;
  handle_.reset(Open(name_, problem));
  if (handle_) return;
  if (problem.empty()) Fail(ErrorCode::kUnavailable, "{} ({} not found)", what, name_);
  Fail(ErrorCode::kUnavailable, "{} ({} cannot be loaded: {})", what, name_, problem);
}

DynamicLibrary DynamicLibrary::Search(const std::string& name,
                                      const std::string& what,
                                      const std::string& remedy) {
  std::string problem;
  if (Handle handle{Open(name, problem)}) return {name, std::move(handle)};
  std::vector<std::string> problems;
  if (!problem.empty()) problems.push_back(problem);
  std::vector<std::string> looked = {"the loader's path"};
  const bool has_folder = name.find('/') != std::string::npos;
  if (!has_folder) {
    for (LibraryPlace (*const find)() :
         {&UserLibraryPlace, &CudaLibraryPlace, &PythonLibraryPlace}) {
      const LibraryPlace place = find();
      looked.push_back(place.description);
      for (const std::string& folder : place.folders) {
        const std::string path = folder + "/" + name;
        if (Handle handle{Open(path, problem)}) return {path, std::move(handle)};
        if (!problem.empty()) problems.push_back(problem);
      }
    }
  }
  const std::string fact =
      problems.empty() ? fmt::format("{} not found", name)
                       : fmt::format("{} cannot be loaded: {}", name, fmt::join(problems, "; "));
  const std::string where =
      has_folder ? "" : fmt::format(" (looked in {})", fmt::join(looked, ", "));
  Fail(ErrorCode::kUnavailable, "{}: {}{}; {}", what, fact, where, remedy);
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
