// SPDX-License-Identifier: Apache-2.0
// Where pass groups, which exchange nothing with each other, wait for each other before a run, so
// that they run at the same time.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>

namespace dbsp::replay {

/// threads  one per group inside Meet(), Abort() from any
class RunGate {
 public:
  explicit RunGate(int groups) : groups_(groups) {}
  /// Returns when every group has come.
  /// errors  Error{kMeasurement} when a group fails first
  void Meet();
  /// The first call decides; every pending and later Meet() throws.
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
