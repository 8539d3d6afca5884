// SPDX-License-Identifier: Apache-2.0
// Folders in which the vendors' libraries may be, beyond those of the dynamic linker: the user's
// choice, CUDA's own folders and Python packages (wheels). Every library uses this one search.
#pragma once

#include <string>
#include <vector>

namespace dbsp::runtime {

/// One kind of place where libraries may be.
struct LibraryPlace {
  std::string description;  ///< for messages, one line: "DBSP_LIBRARY_PATH (not set)"
  std::vector<std::string> folders;  ///< in the order of the search; a folder may not exist
};

/// The folders of DBSP_LIBRARY_PATH, which are separated by colons.
[[nodiscard]] LibraryPlace UserLibraryPlace();

/// Library folders of the CUDA toolkit of CUDA_HOME or CUDA_PATH; without them of /usr/local/cuda.
[[nodiscard]] LibraryPlace CudaLibraryPlace();

/// The folders nvidia/*/lib in the module search path of the python3 that PATH finds. Runs python3
/// for at most 5 s, once for each value of PATH. Without a usable python3 there are no folders, and
/// the description has the reason.
/// threads  any
[[nodiscard]] LibraryPlace PythonLibraryPlace();

}  // namespace dbsp::runtime
