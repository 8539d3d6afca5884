// SPDX-License-Identifier: Apache-2.0
// Measured files that lie outside the source tree; tests that need them skip where they are absent.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

#include "test_paths.h"

namespace dbsp::testing {

inline constexpr const char* kNoSharedData =
    "measured files are not here (../shared/data, or the folder that DBSP_SHARED_DATA names)";

/// Path of a file in the shared data: the folder named by DBSP_SHARED_DATA, else ../shared/data
/// beside the source tree. Empty when the file is not there.
inline std::filesystem::path SharedData(const std::string& name) {
  const char* folder = std::getenv("DBSP_SHARED_DATA");
  const std::filesystem::path root =
      folder != nullptr ? std::filesystem::path(folder)
                        : std::filesystem::path(DBSP_SOURCE_DIR) / ".." / "shared" / "data";
  const std::filesystem::path path = root / name;
  return std::filesystem::exists(path) ? path : std::filesystem::path();
}

}  // namespace dbsp::testing
