// SPDX-License-Identifier: Apache-2.0
// Elements of a dense mask: which of them make a block active.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>

#include "core/arrays/array.h"

namespace dbsp {

[[nodiscard]] bool IsFloat(ArrayType type);

/// Blocks of sparse-linear attention (SLA) whose mask is read. Elements are 1 (critical), 0
/// (marginal) and -1 (negligible).
enum class SlaClass : std::uint8_t { kNone, kCritical, kMarginal };

/// How elements are read. Without options only 0 (inactive), 1 and 255 (active), false and true are
/// elements of a mask.
struct ValueRule {
  std::optional<double> threshold;  ///< values above it are active
  bool additive = false;  ///< 0 is active; -inf and values of at most -1000 are inactive
  bool inverted = false;  ///< swaps active and inactive, after the other options
  SlaClass sla = SlaClass::kNone;  ///< set: elements are classes, and this class is active
  /// Text of the options in use, "" without any.
  [[nodiscard]] std::string Text() const;
};

/// Decides for each element of an array whether its block is active, and collects the distinct
/// values of the elements.
/// threads  safe concurrently
class MaskValues {
 public:
  explicit MaskValues(ValueRule rule) : rule_(rule) {}
  /// Sets active[i] to 1 if element begin + i makes a block active, else to 0. Returns the offset
  /// of the first element that is no element of a mask, or -1.
  /// requires [begin, begin + active.size()) is inside the array
  [[nodiscard]] std::int64_t Read(const Array& array,
                                  std::int64_t begin,
                                  std::span<std::uint8_t> active);
  /// Values seen so far: "0, 1", or "-1.5 to 7" with a threshold.
  [[nodiscard]] std::string Seen() const;
  [[nodiscard]] const ValueRule& rule() const { return rule_; }

 private:
  void Remember(unsigned flags, double low, double high);

  ValueRule rule_;
  mutable std::mutex mutex_;
  unsigned flags_ = 0;  ///< guarded by mutex_: 1 = a 0, 2 = a 1, 4 = a 255
  double low_ = 0;  ///< guarded by mutex_, with a threshold or additive
  double high_ = 0;
  bool any_ = false;
};

/// What an element is and how such values can be read, for an error: "7, but a mask ...".
[[nodiscard]] std::string NoMaskElement(const Array& array,
                                        std::int64_t index,
                                        const ValueRule& rule);

}  // namespace dbsp
