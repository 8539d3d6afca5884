// SPDX-License-Identifier: Apache-2.0
// Behaviour that all tools share: --version, one-line errors, exit codes.
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace CLI {
class App;
}

namespace dbsp {

/// Text of --version: version, commit, compiler, build type and the vendor libraries that are built
/// in.
[[nodiscard]] std::string VersionText(const std::string& tool);

/// "0123abcd"; "unknown" outside git.
[[nodiscard]] std::string BuildCommit();
/// Whether the build has uncommitted changes. Missing outside git.
[[nodiscard]] std::optional<bool> BuildDirty();

/// Returns tool(argc, argv), the whole of a program's main(). Turns memory that runs out before
/// RunTool() begins, or where nothing may be thrown, into one line on stderr and an exit code.
int ToolMain(const char* name,
             int argc,
             const char* const* argv,
             int (*tool)(int argc, const char* const* argv));

/// Adds --version, parses argv into `app`, runs `body`, and turns errors into one line on stderr
/// and an exit code (0 ok, 1 measured failure, 2 usage, 3 unavailable, 4 internal). The error for
/// an unknown flag or subcommand names the nearest known one. `body` returns the exit code. Signals
/// end the tool as core/stop_signals.h says; writes to a closed pipe or beyond the file size limit
/// are errors.
int RunTool(CLI::App& app, int argc, const char* const* argv, const std::function<int()>& body);

/// Writes all of `text`, lines or one JSON document, to stdout, escaped by TerminalText(). Names in
/// it that may hold line feeds have been through TerminalLine().
/// errors  Error{kIo} when stdout is closed or full
void WriteStdout(const std::string& text);

/// Writes one progress line to stderr, escaped by TerminalLine(), unless quiet was set by --quiet.
void Progress(const std::string& line);
/// The same for several lines, escaped by TerminalText().
void ProgressText(const std::string& text);
void SetQuiet(bool quiet);

}  // namespace dbsp
