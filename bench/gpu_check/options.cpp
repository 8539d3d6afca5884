// SPDX-License-Identifier: Apache-2.0
#include "bench/gpu_check/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/error.h"
#include "core/suggest.h"
#include "kernels/gpu/gpu_variants.h"

namespace dbsp::gpu_check {
namespace {

constexpr std::int64_t kMaxBudgetS = 100'000'000;  // nanoseconds fit 64 bits
constexpr int kMaxCases = 1000;

}  // namespace

void AddOptions(CLI::App& app, Options& options) {
  app.add_option("part",
                 options.parts,
                 "Parts to run, in the given order:\n"
                 "list     prints the kernels of this build and the device\n"
                 "names    prints the names of the kernels that this device runs and of the\n"
                 "         checks, one per line, for --filter =NAME\n"
                 "correct  compares every kernel with fp64 on random shapes and masks\n"
                 "small    does the same on few small cases, for compute-sanitizer\n"
                 "speed    times dense, block-sparse and gather-sparse attention\n"
                 "curve    times the kernels at densities from 0.9 to 0.05\n"
                 "repeat   measures the spread of repeated medians of one kernel\n"
                 "serve    answers the requests of bench/peers.py on standard input")
      ->required();
  app.add_option("--filter",
                 options.filter,
                 "Only kernels and checks with this text in their name, or =NAME for exactly\n"
                 "one; the checks are memory (merges and copies), lists (builders of key\n"
                 "lists) and sla")
      ->group("Selection");
  app.add_option("--skip",
                 options.skip,
                 "Kernels that never run, separated by commas; the environment variable\n"
                 "DBSP_SKIP_KERNELS adds more, for every dbsp tool")
      ->delimiter(',')
      ->group("Selection");
  app.add_option("--cases",
                 options.cases,
                 "Cases of each attention kernel and of SLA in correct and small; without it\n"
                 "the number that docs/gpu.md promises")
      ->check(CLI::Range(1, kMaxCases))
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
      ->check(CLI::Range(std::int64_t{1}, kMaxBudgetS))
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
      "  gpu_check correct speed --filter sm90 --budget 60 --out out/gpu-check\n"
      "  gpu_check correct --filter =sm90.block128x128.d128 --cases 40");
}

void CheckParts(const Options& options) {
  static const std::vector<std::string> kParts{
      "list", "names", "correct", "small", "speed", "curve", "repeat", "serve"};
  for (const std::string& part : options.parts) {
    if (std::ranges::find(kParts, part) != kParts.end()) continue;
    throw Error(ErrorCode::kInvalidArgument, UnknownName("part", part, kParts));
  }
}

const std::vector<std::string>& CheckNames() {
  static const std::vector<std::string> kNames{"memory", "lists", "sla"};
  return kNames;
}

bool FilterMatches(const Options& options, const std::string& name) {
  if (options.filter.starts_with('=')) return name == std::string_view(options.filter).substr(1);
  return name.find(options.filter) != std::string::npos;
}

void ApplySelection(const Options& options) {
  const char* set = std::getenv(kernels::gpu::kSkipKernelsVariable);
  std::string skipped = set == nullptr ? "" : set;
  for (const std::string& name : options.skip) skipped += "," + name;
  if (!options.skip.empty()) ::setenv(kernels::gpu::kSkipKernelsVariable, skipped.c_str(), 1);
  (void)kernels::gpu::SkippedKernels();  // checks the names
  std::vector<std::string> names = CheckNames();
  for (const kernels::gpu::Variant& variant : kernels::gpu::AllVariants()) {
    names.emplace_back(variant.name);
  }
  if (std::ranges::any_of(names, [&](const auto& name) { return FilterMatches(options, name); })) {
    return;
  }
  if (options.filter.starts_with('=')) {
    Fail(ErrorCode::kInvalidArgument,
         "--filter: {}",
         UnknownName("name", options.filter.substr(1), names));
  }
  Fail(ErrorCode::kInvalidArgument,
       "--filter: no kernel or check has '{}' in its name; 'gpu_check list' prints the kernels",
       options.filter);
}

}  // namespace dbsp::gpu_check
