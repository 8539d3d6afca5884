// SPDX-License-Identifier: Apache-2.0
// Runs a built tool as a user would and keeps what it printed.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "test_paths.h"
#include "tests/core/temporary_folder.h"

namespace dbsp::testing {

struct ToolResult {
  int exit_code = -1;
  std::string out;
  std::string err;
};

inline std::string ShellQuote(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

inline std::string FileText(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// Runs bin/`tool` of this build with `arguments`, standard input empty.
inline ToolResult RunTool(const std::string& tool, const std::vector<std::string>& arguments) {
  const TemporaryFolder folder;
  std::string command = ShellQuote(std::string(DBSP_BINARY_DIR "/bin/") + tool);
  for (const std::string& argument : arguments) command += " " + ShellQuote(argument);
  command += " </dev/null >" + ShellQuote((folder / "out").string()) + " 2>" +
             ShellQuote((folder / "err").string());
  const int status = std::system(command.c_str());
  ToolResult result;
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  result.out = FileText(folder / "out");
  result.err = FileText(folder / "err");
  return result;
}

}  // namespace dbsp::testing
