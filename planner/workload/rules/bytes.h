// SPDX-License-Identifier: Apache-2.0
// Little-endian numbers in a rule's blob.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/error.h"

namespace dbsp::planner {

template <typename T>
void AppendNumber(std::string& bytes, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    bytes.push_back(static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * i) & 255U));
  }
}

/// Reads numbers from the front of a blob.
class BlobReader {
 public:
  BlobReader(const std::string& rule, std::string_view bytes) : rule_(rule), bytes_(bytes) {}
  /// errors  Error{kCorruptInput} if the blob ends early
  template <typename T>
  T Take() {
    if (bytes_.size() - at_ < sizeof(T)) Wrong("the table ends early");
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) {
      value |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes_[at_ + i])) << (8 * i);
    }
    at_ += sizeof(T);
    return static_cast<T>(value);
  }
  /// Reads a number below `limit`. errors as Take
  template <typename T>
  T TakeBelow(std::uint64_t limit) {
    const T value = Take<T>();
    if (value >= limit) Wrong("a number is too large");
    return value;
  }
  /// errors  Error{kCorruptInput} if bytes are left
  void ExpectEnd() const {
    if (at_ != bytes_.size()) Wrong("the table is too long");
  }
  [[noreturn]] void Wrong(const char* what) const {
    Fail(ErrorCode::kCorruptInput,
         "mask rule '{}': key 'blob' at byte {} of {}: {}; make the workload again",
         rule_,
         at_,
         bytes_.size(),
         what);
  }

 private:
  const std::string& rule_;
  std::string_view bytes_;
  std::size_t at_ = 0;
};

}  // namespace dbsp::planner
