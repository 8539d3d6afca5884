// SPDX-License-Identifier: Apache-2.0
// Reading JSON with errors that name the file and the key, and writing canonical JSON.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

namespace dbsp {

using Json = nlohmann::json;

/// Bounds of one document. They limit the memory that a hostile text can demand.
struct JsonLimits {
  std::size_t max_bytes = std::size_t{1} << 28;
  int max_depth = 64;  ///< lists and objects inside each other
  /// Largest sum of weights of a document: 1 for a number, text, boolean or null, 2 for a key, 4
  /// for a list or an object. The memory is at most about 32 bytes times this limit, plus the
  /// texts.
  std::size_t max_values = std::size_t{1} << 25;
};

/// The only JSON parser of the tools. It refuses keys that appear twice in an object, numbers that
/// no 64-bit type holds, invalid UTF-8 and NUL characters. A byte-order mark is skipped.
/// errors  Error{kCorruptInput} "ORIGIN: line 3, column 7, key 'a.b[3]': ..." for malformed text
///         and for text beyond `limits`
[[nodiscard]] Json ParseJson(std::string_view text,
                             const std::string& origin,
                             const JsonLimits& limits = {});

/// The number that JsonLimits::max_values bounds. requires a depth that ParseJson accepts
[[nodiscard]] std::size_t CountJsonValues(const Json& value);

/// Text with sorted keys; `indent` < 0 gives one line. Non-finite numbers are written as null.
[[nodiscard]] std::string DumpJson(const Json& value, int indent = -1);

/// A value of a document with its path. The accessors throw Error{kCorruptInput} "ORIGIN: key
/// 'a.b[3]': expected ..., found ..." when the value is not what they return.
/// owns  nothing: document and origin must outlive it
class JsonView {
 public:
  class Range;
  JsonView(const Json& value, const std::string& origin) : value_(&value), origin_(&origin) {}

  [[nodiscard]] bool Has(const std::string& key) const;
  [[nodiscard]] JsonView operator[](const std::string& key) const;  ///< required member
  [[nodiscard]] JsonView operator[](std::size_t index) const;
  [[nodiscard]] std::size_t size() const;  ///< of an array
  /// The entries of an array, made one after the other.
  [[nodiscard]] Range Items() const;
  [[nodiscard]] std::string String() const;
  [[nodiscard]] bool Bool() const;
  [[nodiscard]] std::int64_t Int(
      std::int64_t low = std::numeric_limits<std::int64_t>::min(),
      std::int64_t high = std::numeric_limits<std::int64_t>::max()) const;
  [[nodiscard]] std::uint64_t Unsigned() const;  ///< an integer from 0 to 2^64 - 1
  [[nodiscard]] double Number(double low = std::numeric_limits<double>::lowest(),
                              double high = std::numeric_limits<double>::max()) const;  ///< finite
  /// Requires "schema": `schema` in this object.
  void RequireSchema(const std::string& schema) const;
  /// Refuses members that are not listed; the error names the nearest known one.
  void RefuseOtherKeys(std::initializer_list<std::string> known) const;
  [[noreturn]] void Wrong(const std::string& expected) const;
  [[nodiscard]] const Json& raw() const { return *value_; }

 private:
  JsonView(const Json& value, const std::string& origin, std::string path)
      : value_(&value), origin_(&origin), path_(std::move(path)) {}
  const Json* value_;
  const std::string* origin_;
  std::string path_;
};

/// owns  a copy of the view
class JsonView::Range {
 public:
  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = JsonView;
    using difference_type = std::ptrdiff_t;
    using pointer = void;
    using reference = JsonView;
    Iterator(const JsonView& view, std::size_t index) : view_(&view), index_(index) {}
    JsonView operator*() const { return (*view_)[index_]; }
    Iterator& operator++() {
      ++index_;
      return *this;
    }
    bool operator==(const Iterator& other) const { return index_ == other.index_; }

   private:
    const JsonView* view_;
    std::size_t index_;
  };

  explicit Range(JsonView view) : view_(std::move(view)), size_(view_.size()) {}
  [[nodiscard]] Iterator begin() const { return {view_, 0}; }
  [[nodiscard]] Iterator end() const { return {view_, size_}; }

 private:
  JsonView view_;
  std::size_t size_;
};

}  // namespace dbsp
