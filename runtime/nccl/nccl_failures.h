// SPDX-License-Identifier: Apache-2.0
// The first failure among the ranks of one process. Internal to runtime/.
#pragma once

#include <fmt/format.h>

#include <mutex>
#include <optional>
#include <string>

namespace dbsp::runtime {

/// threads  any
class NcclFailures {
 public:
  /// Keeps the first report. Never throws; out of memory only the rank is kept.
  void Report(int rank, const std::string& reason) noexcept {
    const std::scoped_lock lock(mutex_);
    if (rank_) return;
    rank_ = rank;
    try {
      reason_ = reason;
    } catch (...) {
      reason_.clear();
    }
  }
  [[nodiscard]] std::optional<int> rank() const {
    const std::scoped_lock lock(mutex_);
    return rank_;
  }
  /// "rank 3 aborted: ..."; requires rank()
  [[nodiscard]] std::string Message() const {
    const std::scoped_lock lock(mutex_);
    return fmt::format("rank {} aborted: {}", rank_.value_or(-1), reason_);
  }

 private:
  mutable std::mutex mutex_;
  std::optional<int> rank_;
  std::string reason_;
};

}  // namespace dbsp::runtime
