// SPDX-License-Identifier: Apache-2.0
// What the path of an output names. For core/output*.cpp.
#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <optional>
#include <string>

#include "core/file_handle.h"

namespace dbsp::internal {

/// The file behind the symbolic links of a path.
struct OutputTarget {
  std::filesystem::path path;
  std::optional<int> descriptor;  ///< this process's own, for "-", /dev/stdout and /dev/fd/N
  std::optional<struct stat> info;  ///< of the file; absent when there is none yet
  bool replaceable = true;  ///< false: a descriptor of another process
};

/// errors  Error{kIo} for a loop of links, or when a part of the path is no folder
[[nodiscard]] OutputTarget TargetOf(const std::filesystem::path& path);

/// Opens a FIFO for writing once a reader has opened it.
/// errors  Error{kIo} without one after 3 s
[[nodiscard]] FileHandle OpenFifo(const std::filesystem::path& path);

/// A new file ".dbsp-MACHINE-PID-XXXXXX.tmp", mode 0600; handle -1 and errno when it cannot be
/// made.
struct TemporaryFile {
  std::string name;
  FileHandle file;
};
[[nodiscard]] TemporaryFile MakeTemporary(const std::filesystem::path& folder);

/// The folder that holds `path`; "." for a bare name.
[[nodiscard]] std::filesystem::path FolderOf(const std::filesystem::path& path);

/// Whether the file is written in place, because replacing it would part it from its other names.
[[nodiscard]] bool IsWrittenInPlace(const OutputTarget& target);

}  // namespace dbsp::internal
