// SPDX-License-Identifier: Apache-2.0
// Runs of scripts/gpu-check on emulated GPUs.
#pragma once

#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "test_paths.h"
#include "tests/cli/run_tool.h"
#include "tests/core/temporary_folder.h"

namespace dbsp::testing {

/// Runs a command of the shell without input.
inline ToolResult RunCommand(const std::string& command) {
  const TemporaryFolder folder;
  const int status = std::system(
      (command + " </dev/null >" + (folder / "out").string() + " 2>" + (folder / "err").string())
          .c_str());
  ToolResult result;
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  result.out = FileText(folder / "out");
  result.err = FileText(folder / "err");
  return result;
}

/// Makes a folder for --bin with the tools on emulated GPUs under their usual names.
inline void MakeEmulatedBin(const std::filesystem::path& bin) {
  namespace fs = std::filesystem;
  const fs::path build(DBSP_BINARY_DIR);
  fs::create_directory(bin);
  for (const char* tool : {"gpu_check", "dbsp-replay"}) {
    fs::create_symlink(build / "emulated" / tool, bin / tool);
  }
  fs::create_symlink(build / "bin/profiler_emulated_profile", bin / "dbsp-profile");
  for (const char* tool : {"dbsp-workload", "dbsp-tune"}) {
    fs::create_symlink(build / "bin" / tool, bin / tool);
  }
}

}  // namespace dbsp::testing
