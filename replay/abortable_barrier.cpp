// SPDX-License-Identifier: Apache-2.0
#include "replay/abortable_barrier.h"

#include "core/error.h"

namespace dbsp::replay {

void AbortableBarrier::Arrive() {
  std::unique_lock lock(mutex_);
  const int generation = generation_;
  if (!failed_ && ++arrived_ == groups_) {
    arrived_ = 0;
    ++generation_;
    wake_.notify_all();
    return;
  }
  wake_.wait(lock, [&] { return failed_ || generation_ != generation; });
  if (generation_ != generation) return;
  Fail(ErrorCode::kMeasurement, "pass group {} failed: {}", *failed_, reason_);
}

void AbortableBarrier::Abort(int group, const std::string& reason) noexcept {
  const std::scoped_lock lock(mutex_);
  if (failed_) return;
  failed_ = group;
  try {
    reason_ = reason;
  } catch (...) {  // out of memory: the message then names only the group
    reason_.clear();
  }
  wake_.notify_all();
}

std::optional<int> AbortableBarrier::failed() const {
  const std::scoped_lock lock(mutex_);
  return failed_;
}

}  // namespace dbsp::replay
