// SPDX-License-Identifier: Apache-2.0
// A loop over several threads; the first error of any is rethrown after all have left.
#pragma once

#include <cstddef>
#include <functional>

namespace dbsp::tuner {

/// body(0) .. body(count - 1), each once, on `threads` threads (one or fewer: this one, in order).
/// After an error no further index is started.
void ParallelFor(std::size_t count, int threads, const std::function<void(std::size_t)>& body);

}  // namespace dbsp::tuner
