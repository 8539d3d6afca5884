// SPDX-License-Identifier: Apache-2.0
// Runs the cases of one family of kernels, writes a result line for each and prints the counts.
#pragma once

#include <fmt/format.h>

#include <string>

#include "bench/gpu_check/context.h"
#include "core/cli.h"
#include "core/error.h"

namespace dbsp::gpu_check {

class CaseReport {
 public:
  /// `family` names the kernels in the line that Finish() prints.
  CaseReport(const char* part, const char* family, Context& context)
      : part_(part), family_(family), context_(context) {}
  void Add(const std::string& kernel, int index, bool ok, const std::string& description) {
    context_.results.Write(
        {{"part", part_}, {"kernel", kernel}, {"case", index}, {"words", description}, {"ok", ok}});
    ++cases_;
    if (ok) return;
    ++wrong_;
    WriteStdout(fmt::format("wrong: {}, case {}: {}\n", kernel, index, description));
  }
  /// Runs one check, which returns (is it right, description). A check that throws Error counts as
  /// a wrong case and the next case still runs.
  template <typename F>
  void Run(const std::string& kernel, int index, const F& check) {
    try {
      const auto [ok, description] = check();
      Add(kernel, index, ok, description);
    } catch (const Error& error) {
      Add(kernel, index, false, error.what());
    }
  }
  /// Whether the budget allows another case. Marks the part as cut off where it does not.
  bool HasTime() {
    if (context_.RemainingNs() > 0) return true;
    context_.cut_off = true;
    return false;
  }
  /// Prints the counts and returns whether every case was right.
  bool Finish() const {
    WriteStdout(fmt::format("{}: {} cases, {} wrong\n", family_, cases_, wrong_));
    return wrong_ == 0;
  }

 private:
  const char* part_;
  const char* family_;
  Context& context_;
  int cases_ = 0;
  int wrong_ = 0;
};

}  // namespace dbsp::gpu_check
