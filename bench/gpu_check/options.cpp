// SPDX-License-Identifier: Apache-2.0
#include "bench/gpu_check/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "core/error.h"
#include "core/suggest.h"

namespace dbsp::gpu_check {

void AddOptions(CLI::App& app, Options& options) {
  app.add_option("part",
                 options.parts,
                 "Parts to run, in the given order:\n"
                 "list     prints the kernels of this build and the device\n"
                 "correct  compares every kernel with fp64 on random shapes and masks\n"
                 "small    does the same on few small cases, for compute-sanitizer\n"
                 "speed    times dense, block-sparse and gather-sparse attention\n"
                 "curve    times the kernels at densities from 0.9 to 0.05\n"
                 "repeat   measures the spread of repeated medians of one kernel\n"
                 "serve    answers the requests of bench/peers.py on standard input")
      ->required();
  app.add_option("--filter",
                 options.filter,
                 "Only kernels and checks with this text in their name; the checks are memory\n"
                 "(merges and copies), lists (builders of key lists) and sla")
      ->group("Selection");
  app.add_flag("--smoke",
               options.smoke,
               "Tiny shapes in speed, curve, repeat and serve: shows that the program\n"
               "works; the times mean nothing")
      ->group("Selection");
  app.add_option("--device", options.device, "Number of the GPU")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber)
      ->group("Selection");
  app.add_option("--budget", options.budget_s, "Seconds for each part")
      ->capture_default_str()
      ->check(CLI::PositiveNumber)
      ->group("Measurement");
  app.add_option("--seed", options.seed, "Seed of shapes, masks and inputs")
      ->capture_default_str()
      ->group("Measurement");
  app.add_option("--out", options.out, "Folder of the results, one JSON object per line")
      ->capture_default_str()
      ->group("Output");
  app.footer(
      "Exit codes: 0 every result is right, 1 a result is wrong, 2 usage, 3 no usable GPU,\n"
      "4 internal, 124 nothing is wrong but the budget ended before a part was done. A signal\n"
      "ends the program; finished results are kept.\n"
      "\n"
      "Examples:\n"
      "  gpu_check list\n"
      "  gpu_check correct speed --filter sm90 --budget 60 --out out/gpu-check");
}

void CheckParts(const Options& options) {
  static const std::vector<std::string> kParts{
      "list", "correct", "small", "speed", "curve", "repeat", "serve"};
  for (const std::string& part : options.parts) {
    if (std::ranges::find(kParts, part) != kParts.end()) continue;
    throw Error(ErrorCode::kInvalidArgument, UnknownName("part", part, kParts));
  }
}

}  // namespace dbsp::gpu_check
