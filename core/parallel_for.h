// SPDX-License-Identifier: Apache-2.0
// A loop whose iterations are independent of each other, on several threads.
#pragma once

#include <functional>
#include <thread>

namespace dbsp {

/// `threads` when it is positive, else the number of hardware threads.
[[nodiscard]] int ThreadCount(int threads);

/// Calls body(0), ..., body(count - 1), each once, on up to ThreadCount(threads) threads, the
/// calling one included. A thread that finishes an iteration takes the next one. Where the system
/// refuses a thread, the loop goes on with those that it has, and a note on stderr says so once.
/// errors  rethrows the first exception of a body after all threads have ended; no further
///         iteration starts after it
void ParallelFor(int count, int threads, const std::function<void(int)>& body);

/// A thread that the work cannot do without.
/// errors  Error{kUnavailable} when it cannot be started
[[nodiscard]] std::thread StartThread(std::function<void()> body);

}  // namespace dbsp
