// SPDX-License-Identifier: Apache-2.0
#include "core/cli.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <sstream>
#include <system_error>
#include <vector>

#include "build_config.h"
#include "core/error.h"
#include "core/number_flag.h"
#include "core/stop_signals.h"
#include "core/suggest.h"
#include "core/terminal_text.h"
#include "git_info.h"

namespace dbsp {
namespace {

std::atomic<bool> g_quiet{false};  // NOLINT: process-wide, set once by --quiet

const char* g_tool = "dbsp";  // NOLINT: process-wide, set once by ToolMain
constexpr const char* kOutOfMemory = "out of memory; a smaller shape needs less";

int PrintError(const std::string& tool, const std::string& message, int exit_code) {
  const std::string line = TerminalLine(message);
  std::fprintf(stderr, "%s: error: %s\n", tool.c_str(), line.c_str());
  return exit_code;
}

/// The innermost chosen subcommand, or the app itself.
const CLI::App& ActiveApp(const CLI::App& app) {
  const auto chosen = app.get_subcommands();
  return chosen.empty() ? app : ActiveApp(*chosen.front());
}

std::vector<std::string> KnownWords(const CLI::App& app, bool flags) {
  std::vector<std::string> words;
  if (flags) {
    for (const CLI::Option* option : app.get_options()) {
      for (const std::string& name : option->get_lnames()) words.push_back("--" + name);
      for (const std::string& name : option->get_snames()) words.push_back("-" + name);
    }
  } else {
    for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
      words.push_back(sub->get_name());
    }
  }
  return words;
}

int ReportParseError(CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) {  // --help, --version
    std::ostringstream text;
    const int code = app.exit(error, text, text);
    WriteStdout(text.str());
    return code;
  }
  const CLI::App& active = ActiveApp(app);
  const auto extras = app.remaining(true);
  if (!extras.empty()) {
    const bool flag = extras.front().starts_with("-");
    const std::string word = extras.front().substr(0, extras.front().find('='));
    const auto known = KnownWords(active, flag);
    if (!known.empty()) {
      return PrintError(app.get_name(), UnknownName(flag ? "flag" : "command", word, known), 2);
    }
    return PrintError(app.get_name(), fmt::format("unexpected argument '{}'", word), 2);
  }
  return PrintError(app.get_name(), fmt::format("{} (--help lists the flags)", error.what()), 2);
}

/// A closed descriptor 0, 1 or 2 would be given to the next file that is opened, and a message
/// would be written into a database. Reads and writes of the substitutes fail.
void FillStandardDescriptors() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    // open() returns the lowest free number, which is `fd`.
    const int opened = ::open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
    static_cast<void>(opened);
  }
}

/// A failed write then returns its error, which names the cause, instead of ending the process.
void ReturnWriteErrors() {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
}

/// Ends the process as ReportCurrentException() would where an allocation fails in a function that
/// may not throw: nlohmann-json's destructors allocate.
[[noreturn]] void EndOnTerminate() {
  try {
    if (std::current_exception()) std::rethrow_exception(std::current_exception());
  } catch (const std::bad_alloc&) {
    ::dprintf(STDERR_FILENO, "%s: error: %s\n", g_tool, kOutOfMemory);
    ::_exit(ExitCode(ErrorCode::kUnavailable));
  } catch (...) {  // abort() leaves a core file, which tells more
  }
  std::abort();
}

int ReportCurrentException(const std::string& tool) {
  try {
    throw;
  } catch (const Error& error) {
    return PrintError(tool, error.what(), ExitCode(error.code()));
  } catch (const std::bad_alloc&) {
    return PrintError(tool, kOutOfMemory, ExitCode(ErrorCode::kUnavailable));
  } catch (const std::system_error& error) {
    if (error.code() == std::errc::resource_unavailable_try_again) {
      return PrintError(tool,
                        "cannot start a thread: raise the limit of processes (ulimit -u)",
                        ExitCode(ErrorCode::kUnavailable));
    }
    return PrintError(tool, fmt::format("internal: {}", error.what()), 4);
  } catch (const std::exception& error) {
    return PrintError(tool, fmt::format("internal: {}", error.what()), 4);
  }
}

}  // namespace

std::string BuildCommit() { return DBSP_GIT_COMMIT; }
std::optional<bool> BuildDirty() {
  if (DBSP_GIT_DIRTY < 0) return std::nullopt;
  return DBSP_GIT_DIRTY != 0;
}

std::string VersionText(const std::string& tool) {
  return fmt::format(
      "{} {} commit {}{}\nbuilt with {}, {}{}{}\nCUDA {}, CUPTI {}, NCCL {}, NVML {}",
      tool,
      DBSP_VERSION,
      BuildCommit(),
      BuildDirty().value_or(false) ? "-dirty" : "",
      DBSP_COMPILER,
      DBSP_BUILD_TYPE,
      std::strlen(DBSP_SANITIZE) > 0 ? ", sanitizer " : "",
      DBSP_SANITIZE,
      DBSP_HAVE_CUDA ? "yes" : "no",
      DBSP_HAVE_CUPTI ? "yes" : "no",
      DBSP_HAVE_NCCL ? "yes" : "no",
      DBSP_HAVE_NVML ? "yes" : "no");
}

int RunTool(CLI::App& app, int argc, const char* const* argv, const std::function<int()>& body) {
  app.set_version_flag("--version", VersionText(app.get_name()));
  app.add_flag_callback(
      "-q,--quiet", [] { SetQuiet(true); }, "No progress lines on stderr");
  FillStandardDescriptors();
  ReturnWriteErrors();
  EndOnSignals(app.get_name());
  try {
    try {
      app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      return ReportParseError(app, error);
    }
    CheckNumberFlags(app);
    return body();
  } catch (...) {
    return ReportCurrentException(app.get_name());
  }
}

int ToolMain(const char* name,
             int argc,
             const char* const* argv,
             int (*tool)(int argc, const char* const* argv)) {
  g_tool = name;
  std::set_terminate(EndOnTerminate);
  try {
    return tool(argc, argv);
  } catch (...) {
    return ReportCurrentException(name);
  }
}

void WriteStdout(const std::string& text) {
  const std::string shown = TerminalText(text);
  errno = 0;
  if (std::fwrite(shown.data(), 1, shown.size(), stdout) != shown.size() ||
      std::fflush(stdout) != 0) {
    Fail(ErrorCode::kIo, "standard output: {}", std::strerror(errno));
  }
}

void SetQuiet(bool quiet) { g_quiet = quiet; }

void Progress(const std::string& line) { ProgressText(TerminalLine(line) + "\n"); }

void ProgressText(const std::string& text) {
  if (g_quiet) return;
  const std::string shown = TerminalText(text);
  std::fputs(shown.c_str(), stderr);
}

}  // namespace dbsp
