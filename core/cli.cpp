// SPDX-License-Identifier: Apache-2.0
#include "core/cli.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <vector>

#include "build_config.h"
#include "core/error.h"
#include "core/number_flag.h"
#include "core/suggest.h"
#include "git_info.h"

namespace dbsp {
namespace {

std::atomic<bool> g_quiet{false};  // NOLINT: process-wide, set once by --quiet

int PrintError(const std::string& tool, const std::string& message, int exit_code) {
  std::fprintf(stderr, "%s: error: %s\n", tool.c_str(), message.c_str());
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
  if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
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
  try {
    try {
      app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      return ReportParseError(app, error);
    }
    CheckNumberFlags(app);
    return body();
  } catch (const Error& error) {
    return PrintError(app.get_name(), error.what(), ExitCode(error.code()));
  } catch (const std::bad_alloc&) {
    return PrintError(app.get_name(), "out of memory; a smaller shape needs less", 1);
  } catch (const std::exception& error) {
    return PrintError(app.get_name(), fmt::format("internal: {}", error.what()), 4);
  }
}

void WriteStdout(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    Fail(ErrorCode::kIo, "standard output: {}", std::strerror(errno));
  }
}

void SetQuiet(bool quiet) { g_quiet = quiet; }

void Progress(const std::string& line) {
  if (!g_quiet) std::fprintf(stderr, "%s\n", line.c_str());
}

}  // namespace dbsp
