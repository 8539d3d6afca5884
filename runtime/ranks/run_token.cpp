// SPDX-License-Identifier: Apache-2.0
#include "runtime/ranks/run_token.h"

#include <fmt/format.h>

#include <string_view>

#include "core/error.h"
#include "runtime/ranks/proof.h"

namespace dbsp::runtime {
namespace {

// mpirun of Open MPI 4 draws 128 random bits and gives them to all processes of a job
// (orte/util/pre_condition_transports.c). Where Slurm starts the processes, the same variable holds
// the job's number, such as 017569a900000000-017569a900000000.
constexpr const char* kOpenMpiKey = "OMPI_MCA_orte_precondition_transports";

bool IsRandomKey(std::string_view key) {
  constexpr std::size_t kHalf = 16;
  if (key.size() != 2 * kHalf + 1 || key[kHalf] != '-') return false;
  const std::string_view first = key.substr(0, kHalf);
  const std::string_view second = key.substr(kHalf + 1);
  const auto random = [](std::string_view half) {
    return IsHex(half, kHalf) && half.find("00000000") == std::string_view::npos;
  };
  return random(first) && random(second) && first != second;
}

}  // namespace

std::string GivenToken(const Environment& environment) {
  const char* text = environment(kTokenVariable);
  if (text == nullptr) return "";
  const std::string_view token = text;
  if (token.size() < kShortestToken) {
    Fail(ErrorCode::kInvalidArgument,
         "{} has {} characters: expected at least {} random ones, the same on every rank",
         kTokenVariable,
         token.size(),
         kShortestToken);
  }
  return std::string(token);
}

RunToken TokenOfRun(const LauncherRank& launched, const Environment& environment) {
  if (std::string given = GivenToken(environment); !given.empty()) {
    return {.text = std::move(given), .secret = true};
  }
  const char* key = environment(kOpenMpiKey);
  if (launched.launcher == "Open MPI" && key != nullptr && IsRandomKey(key)) {
    return {.text = key, .secret = true};
  }
  return {.text = fmt::format("{} job {}", launched.launcher, launched.job.value_or("unknown")),
          .secret = false};
}

}  // namespace dbsp::runtime
