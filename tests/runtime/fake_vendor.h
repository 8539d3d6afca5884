// SPDX-License-Identifier: Apache-2.0
// The fake vendor libraries of tests/runtime/fake_vendor.
#pragma once

#include <cstdlib>
#include <string>

#include "test_paths.h"
#include "tests/runtime/environment_variable.h"

namespace dbsp::testing {

/// Path of a fake library that works.
inline std::string FakeLibrary(const std::string& name) {
  return DBSP_BINARY_DIR "/fake_vendor/new/" + name;
}

/// Path of a fake library without one of the functions.
inline std::string OldFakeLibrary(const std::string& name) {
  return DBSP_BINARY_DIR "/fake_vendor/old/" + name;
}

/// During the result's lifetime, started tools look for libraries in `folder` first.
inline EnvironmentVariable LibrariesFrom(const std::string& folder) {
  const char* before = std::getenv("LD_LIBRARY_PATH");
  const std::string rest = before == nullptr ? "" : std::string(":") + before;
  return {"LD_LIBRARY_PATH", folder + rest};
}

/// The folders of FakeLibrary() and OldFakeLibrary().
inline constexpr const char* kFakeLibraries = DBSP_BINARY_DIR "/fake_vendor/new";
inline constexpr const char* kOldFakeLibraries = DBSP_BINARY_DIR "/fake_vendor/old";

}  // namespace dbsp::testing
