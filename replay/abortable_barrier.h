// SPDX-License-Identifier: Apache-2.0
// Where pass groups, which exchange nothing with each other, wait for each other before a run, so
// that they run at the same time.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>

namespace dbsp::replay {

/// threads  one per group inside Arrive(), Abort() from any
class AbortableBarrier {
 public:
  explicit AbortableBarrier(int groups) : groups_(groups) {}
  /// Returns when every group has come.
  /// errors  Error{kMeasurement} when a group fails first
  void Arrive();
  /// The first call decides; every pending and later Arrive() throws.
  void Abort(int group, const std::string& reason) noexcept;
  /// The group that failed first.
  [[nodiscard]] std::optional<int> failed() const;

 private:
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  int groups_;
  int arrived_ = 0;
  int meetings_ = 0;
  std::optional<int> failed_;
  std::string reason_;
};

}  // namespace dbsp::replay
