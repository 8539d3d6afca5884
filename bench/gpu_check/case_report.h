// SPDX-License-Identifier: Apache-2.0
// The cases of one family of kernels: lines as they come, a count at the end.
#pragma once

#include <cstdio>
#include <string>

#include "bench/gpu_check/context.h"
#include "core/error.h"

namespace dbsp::gpu_check {

/// Counts right and wrong cases and writes a line for each.
class CaseReport {
 public:
  CaseReport(const char* part, const char* what, Context& context)
      : part_(part), what_(what), context_(context) {}
  void Add(const std::string& kernel, int index, bool ok, const std::string& words) {
    context_.results.Write(JsonLine()
                               .Add("part", part_)
                               .Add("kernel", kernel)
                               .Add("case", index)
                               .Add("words", words)
                               .Add("ok", ok));
    ++cases_;
    wrong_ += ok ? 0 : 1;
    if (!ok) std::printf("wrong: %s, case %d: %s\n", kernel.c_str(), index, words.c_str());
  }
  /// Runs one check; an error of its own is a wrong case, not the end.
  template <typename F>
  void Run(const std::string& kernel, int index, const F& check) {
    try {
      const auto [ok, words] = check();
      Add(kernel, index, ok, words);
    } catch (const Error& error) {
      Add(kernel, index, false, error.what());
    }
  }
  /// Whether the next case may start; without time the part is cut off.
  bool HasTime() {
    if (context_.RemainingNs() > 0) return true;
    context_.cut_off = true;
    return false;
  }
  bool Finish() const {
    std::printf("%s: %d cases, %d wrong\n", what_, cases_, wrong_);
    return wrong_ == 0;
  }

 private:
  const char* part_;
  const char* what_;
  Context& context_;
  int cases_ = 0;
  int wrong_ = 0;
};

}  // namespace dbsp::gpu_check
