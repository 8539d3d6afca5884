// SPDX-License-Identifier: Apache-2.0
// Barrier between pass groups. Pass groups exchange no data; they wait here before every run, so
// that they run at the same time.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>

namespace dbsp::replay {

/// threads  Arrive() is called by one thread per group, Abort() by any thread
class AbortableBarrier {
 public:
  explicit AbortableBarrier(int groups) : groups_(groups) {}
  /// Returns when every group has arrived.
  /// errors  Error{kMeasurement} when a group failed before that
  void Arrive();
  /// Marks the barrier as failed: every pending and later Arrive() throws. Later calls of Abort()
  /// have no effect.
  void Abort(int group, const std::string& reason) noexcept;
  /// The group that failed first.
  [[nodiscard]] std::optional<int> failed() const;

 private:
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  int groups_;
  int arrived_ = 0;
  int generation_ = 0;
  std::optional<int> failed_;
  std::string reason_;
};

}  // namespace dbsp::replay
