// SPDX-License-Identifier: Apache-2.0
// One owner of one handle of a C library.
#pragma once

#include <utility>

namespace dbsp::runtime {

/// Owns a value of Traits::Type and closes it once. Traits has
///   using Type = ...;  static constexpr Type kNull = ...;  static void Close(Type) noexcept;
/// A class holds one handle per member, so that a half-built object cleans up what it has.
template <typename Traits>
class UniqueHandle {
 public:
  using Type = typename Traits::Type;

  UniqueHandle() = default;
  explicit UniqueHandle(Type value) noexcept : value_(value) {}
  ~UniqueHandle() { Reset(); }
  UniqueHandle(UniqueHandle&& other) noexcept : value_(other.Release()) {}
  UniqueHandle& operator=(UniqueHandle&& other) noexcept {
    if (this != &other) Reset(other.Release());
    return *this;
  }
  UniqueHandle(const UniqueHandle&) = delete;
  UniqueHandle& operator=(const UniqueHandle&) = delete;

  [[nodiscard]] Type get() const noexcept { return value_; }
  [[nodiscard]] explicit operator bool() const noexcept { return value_ != Traits::kNull; }

  /// Gives the handle up without closing it.
  [[nodiscard]] Type Release() noexcept { return std::exchange(value_, Traits::kNull); }
  /// Closes what is held and holds `value`.
  void Reset(Type value = Traits::kNull) noexcept {
    const Type old = std::exchange(value_, value);
    if (old != Traits::kNull) Traits::Close(old);
  }

 private:
  Type value_ = Traits::kNull;
};

}  // namespace dbsp::runtime
