// SPDX-License-Identifier: Apache-2.0
#include "runtime/python_host.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

#include "core/error.h"

namespace dbsp::runtime {
namespace {

std::vector<std::string>& HostCommand() {
  static std::vector<std::string> command;  // NOLINT: process-wide, set once before main's work
  return command;
}

/// Tells apart a package that is missing and one that fails. sys.argv: -c, LIBRARY, FILE, ...
constexpr const char* kStart = R"(import sys
try:
    import dbsp.kernels as host
except ModuleNotFoundError as error:
    print(f"{sys.argv[3].rsplit('/')[-1]}: error: --kernels python:{sys.argv[2]}: {sys.executable} "
          f"has no module {error.name}; install python3-{error.name}, or add dbsp's folder python/ "
          "to PYTHONPATH", file=sys.stderr)
    sys.exit(3)
host.main())";

}  // namespace

void RunInPython(const std::string& library,
                 const std::string& file,
                 const std::vector<std::string>& arguments) {
  std::error_code failed;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", failed);
  const std::string path =
      (program.parent_path().parent_path() / "lib" / "dbsp" / library).string();
  if (failed || !std::filesystem::exists(path, failed)) {
    Fail(ErrorCode::kUnavailable,
         "--kernels python:{}: {} not found; build or install dbsp with its folder lib/dbsp",
         file,
         path);
  }
  // One kernel computes on one thread, as dbsp measures it. Libraries read these when they start.
  for (const char* name : {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"}) {
    (void)::setenv(name, "1", 0);
  }
  const char* const chosen = std::getenv("DBSP_PYTHON");
  const std::string python = chosen == nullptr ? "python3" : chosen;
  std::vector<std::string> all{python, "-c", kStart, path, file};
  all.insert(all.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& argument : all) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  ::execvp(python.c_str(), pointers.data());
  Fail(ErrorCode::kUnavailable,
       "--kernels python:{}: cannot start {}: {}; DBSP_PYTHON names the interpreter",
       file,
       python,
       std::strerror(errno));
}

void SetPythonHost(std::vector<std::string> command) { HostCommand() = std::move(command); }

std::vector<std::string> CommandOfThisProgram(const std::string& program,
                                              const std::string& argument) {
  std::vector<std::string> command = HostCommand();
  command.push_back(program);
  command.push_back(argument);
  return command;
}

}  // namespace dbsp::runtime
