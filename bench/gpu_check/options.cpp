// SPDX-License-Identifier: Apache-2.0
#include "bench/gpu_check/options.h"

#include <charconv>
#include <string_view>

#include "core/error.h"

namespace dbsp::gpu_check {
namespace {

template <typename Number>
Number ParseNumber(const std::string& flag, const std::string& text, Number low) {
  Number value{};
  const char* end = text.data() + text.size();
  const auto [stop, problem] = std::from_chars(text.data(), end, value);
  if (problem != std::errc() || stop != end || value < low) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: expected a whole number from {}, found '{}'",
         flag,
         low,
         text);
  }
  return value;
}

}  // namespace

const char* HelpText() {
  return "gpu_check PART... [options]: checks and times the GPU kernels of this build\n"
         "  list       the kernels, and the device if there is one\n"
         "  correct    every kernel against fp64 over random shapes and masks\n"
         "  small      the same on few small cases, for compute-sanitizer\n"
         "  speed      dense, block-sparse and gather-sparse attention\n"
         "  curve      kept efficiency over density\n"
         "  repeat     how far apart medians of one kernel are, taken again and again\n"
         "  serve      answers bench/peers.py on standard input\n"
         "  --out DIR        results, one JSON object a line   [out/gpu-check]\n"
         "  --budget N       seconds for each part             [120]\n"
         "  --filter TEXT    only kernels with TEXT in their name; merges and copies are called\n"
         "                   memory, the builders of key lists lists, and SLA sla\n"
         "  --seed N         of shapes, masks and inputs       [1]\n"
         "  --device N       which GPU                         [0]\n"
         "  --smoke          tiny shapes in speed, curve, repeat and serve: shows that all of\n"
         "                   it runs; its times say nothing\n"
         "exit: 0 all right, 1 something is wrong, 2 usage, 3 no usable GPU, 4 a fault of its "
         "own,\n"
         "124 nothing is wrong, but the time was up before all that a part promises was checked\n";
}

Options ParseOptions(const std::vector<std::string>& arguments) {
  static const std::vector<std::string> kParts = {
      "list", "correct", "small", "speed", "curve", "repeat", "serve"};
  Options options;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    if (word == "--help" || word == "-h") {
      options.help = true;
      return options;
    }
    if (!word.starts_with("-")) {
      bool known = false;
      for (const std::string& part : kParts) known = known || part == word;
      if (!known) Fail(ErrorCode::kInvalidArgument, "no part is called '{}'; see --help", word);
      options.parts.push_back(word);
      continue;
    }
    if (word == "--smoke") {
      options.smoke = true;
      continue;
    }
    if (i + 1 == arguments.size()) {
      Fail(ErrorCode::kInvalidArgument, "{}: expected a value after it; see --help", word);
    }
    const std::string& value = arguments[++i];
    if (word == "--out") {
      options.out = value;
    } else if (word == "--filter") {
      options.filter = value;
    } else if (word == "--budget") {
      options.budget_s = ParseNumber<std::int64_t>(word, value, 1);
    } else if (word == "--seed") {
      options.seed = ParseNumber<std::uint64_t>(word, value, 0);
    } else if (word == "--device") {
      options.device = ParseNumber<int>(word, value, 0);
    } else {
      Fail(ErrorCode::kInvalidArgument, "no option is called '{}'; see --help", word);
    }
  }
  if (options.parts.empty()) {
    Fail(ErrorCode::kInvalidArgument,
         "which part? one of list, correct, small, speed, curve, repeat; see --help");
  }
  return options;
}

}  // namespace dbsp::gpu_check
