// SPDX-License-Identifier: Apache-2.0
// The command line of gpu_check.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace dbsp::gpu_check {

struct Options {
  std::vector<std::string> parts;
  std::string out = "out/gpu-check";  ///< folder of the results
  /// A part runs only the kernels and checks whose name contains this text; with "=NAME" only the
  /// one of exactly this name.
  std::string filter;
  std::vector<std::string> skip;  ///< names of kernels that never run, beside DBSP_SKIP_KERNELS
  /// Cases of each attention kernel and of SLA in correct and small; 0 = those promised.
  int cases = 0;
  std::int64_t budget_s = 120;  ///< seconds of each part
  std::uint64_t seed = 1;
  int device = 0;
  /// speed, curve, repeat and serve use tiny shapes. The run shows that the program works; its
  /// times mean nothing.
  bool smoke = false;
};

/// Adds the options and the text of --help to `app`. Parsing fills `options`, which must outlive
/// the app, and refuses an empty list of parts.
void AddOptions(CLI::App& app, Options& options);
/// Checks the names of the parts. A CLI11 validator would check them too early: for an unknown flag
/// with a value it would complain about the value.
/// errors  Error{kInvalidArgument} with the nearest known part
void CheckParts(const Options& options);

/// Names that are no kernels but that --filter chooses too: memory, lists, sla.
[[nodiscard]] const std::vector<std::string>& CheckNames();
/// Whether --filter chooses this name.
[[nodiscard]] bool FilterMatches(const Options& options, const std::string& name);
/// Adds --skip to DBSP_SKIP_KERNELS of this process and checks --filter.
/// requires no call of kernels::gpu::Variants() before
/// errors  Error{kInvalidArgument} when a skipped kernel is unknown or the filter matches no name
void ApplySelection(const Options& options);

}  // namespace dbsp::gpu_check
