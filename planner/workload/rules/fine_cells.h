// SPDX-License-Identifier: Apache-2.0
// Counts of cells with fine masks, each made once.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/fine_mask.h"

namespace dbsp::planner {

struct FineCell {
  FineCounts fine;
  std::vector<std::int64_t> active_blocks;  ///< of each head's block mask

  /// Adds one head.
  void Add(const BlockMask& mask, int queries, BlockSize block);
  /// Adds all heads. Counts heads that share an object once.
  void Add(const FineMasks& masks, BlockSize block);
};

/// threads  safe concurrently
class FineCells {
 public:
  /// The counts of the cells with this key. Calls `make` if they are not known.
  [[nodiscard]] std::shared_ptr<const FineCell> Get(const std::string& key,
                                                    const std::function<FineCell()>& make);

 private:
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const FineCell>> cells_;  ///< guarded by mutex_
};

/// Value of option `queries`, the queries per list.
/// errors  Error{kInvalidArgument} unless 64 or 128
[[nodiscard]] int ParseQueries(const std::string& rule, const std::string& text);

/// errors  Error{kInvalidArgument} if a fine mask of one head has more than 2^32 - 1 bits
void RequireFineLimit(const std::string& rule, std::int64_t tokens, int queries);

/// The sentence that says what plans do with the lists of a rule.
[[nodiscard]] std::string DerivedNote(int queries, BlockSize block);

}  // namespace dbsp::planner
