// SPDX-License-Identifier: Apache-2.0
// The host's threads for work that falls into independent pieces.
#pragma once

#include <functional>

namespace dbsp::replay {

/// `threads`, or for 0 as many as the machine has.
[[nodiscard]] int ThreadCount(int threads);

/// Calls body(0), ..., body(count - 1) on up to `threads` threads (ThreadCount), which take the
/// next piece when they are free.
/// errors  what a body threw, after all threads have ended; of several, any one
void ForEachParallel(int count, int threads, const std::function<void(int)>& body);

}  // namespace dbsp::replay
