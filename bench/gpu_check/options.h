// SPDX-License-Identifier: Apache-2.0
// The command line of gpu_check.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace dbsp::gpu_check {

struct Options {
  std::vector<std::string> parts;
  std::string out = "out/gpu-check";
  std::string filter;  ///< only kernels whose name contains this
  std::int64_t budget_s = 120;  ///< of each part
  std::uint64_t seed = 1;
  int device = 0;
  /// Tiny shapes in speed, curve, repeat and serve: does the program work at all.
  bool smoke = false;
  bool help = false;
};

/// errors  Error{kInvalidArgument} for what it does not know, and without a part
[[nodiscard]] Options ParseOptions(const std::vector<std::string>& arguments);
[[nodiscard]] const char* HelpText();

}  // namespace dbsp::gpu_check
