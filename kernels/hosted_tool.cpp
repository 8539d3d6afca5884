// SPDX-License-Identifier: Apache-2.0
#include "kernels/hosted_tool.h"

#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#include "core/error.h"
#include "kernels/plugin.h"
#include "runtime/python_host.h"

namespace dbsp::kernels {

int RunHostedTool(int (*tool)(int argc, const char* const* argv),
                  int argc,
                  const char* const* argv,
                  const dbsp_kernel_plugin_table* table,
                  const char* file,
                  const char* const* command) noexcept {
  const auto say = [&](const char* text) {
    const std::string name = std::filesystem::path(argv[0]).filename().string();
    std::fprintf(stderr, "%s: error: %s\n", name.c_str(), text);
  };
  try {
    std::vector<std::string> start;
    for (; *command != nullptr; ++command) start.emplace_back(*command);
    runtime::SetPythonHost(std::move(start));
    UsePluginTable(table, std::string("python:") + file);
    return tool(argc, argv);
  } catch (const Error& error) {
    say(error.what());
    return ExitCode(error.code());
  } catch (const std::exception& error) {
    say(error.what());
    return ExitCode(ErrorCode::kInternal);
  }
}

}  // namespace dbsp::kernels
