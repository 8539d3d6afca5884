// SPDX-License-Identifier: Apache-2.0
// Checks of a tool's outputs before its work starts, so that no work is lost at its end and no
// output destroys an input. WriteFileAtomically() (core/file.h) writes them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/file_handle.h"

namespace dbsp {

enum class FileUse : std::uint8_t {
  kFile,
  kDatabase,  ///< SQLite also writes NAME-wal, NAME-shm and NAME-journal
};

struct OutputPath {
  std::string flag;  ///< "-o", "--db": begins the error
  std::filesystem::path path;  ///< "-" is standard output
  FileUse use = FileUse::kFile;
  bool makes_folder = false;  ///< the tool makes missing folders of the path
};

struct InputPath {
  std::string what;  ///< "the workload": ends the error
  std::filesystem::path path;
  FileUse use = FileUse::kFile;
};

/// Keeps the FIFOs among the outputs open, so that their readers wait for the output.
class OpenOutputs {
 public:
  explicit OpenOutputs(std::vector<internal::FileHandle> fifos) : fifos_(std::move(fifos)) {}

 private:
  std::vector<internal::FileHandle> fifos_;
};

/// Checks that every output can be written: its folder exists and is writable, an existing file is
/// writable, it is no folder, socket or block device, a FIFO has a reader, standard output is open.
/// No output may be an input, also through a link, or another output. Standard output may not be an
/// input either. Inputs with an empty path were not given.
/// Databases are only compared; opening them checks the rest. An empty file is made in each folder
/// and removed; nothing else is written.
/// errors  Error{kInvalidArgument} for an output that is an input or another output,
///         Error{kIo} otherwise, with flag and path
[[nodiscard]] OpenOutputs CheckOutputs(const std::vector<OutputPath>& outputs,
                                       const std::vector<InputPath>& inputs);

/// Whether bytes written to `path` go to standard output: "-", /dev/stdout, or a name of the file
/// that standard output is. A tool then prints its summary on stderr.
[[nodiscard]] bool IsStandardOutput(const std::filesystem::path& path);

/// WriteStdout() of a tool's summary; ProgressText() when its output is standard output.
/// errors  Error{kIo}
void WriteSummary(const std::filesystem::path& output, const std::string& text);

/// `path`, or "standard output", for messages.
[[nodiscard]] std::string OutputName(const std::filesystem::path& path);

}  // namespace dbsp
