// SPDX-License-Identifier: Apache-2.0
// Reading JSON with errors that name the file and the key, and writing canonical JSON.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace dbsp {

using Json = nlohmann::json;

/// errors  Error{kCorruptInput} "ORIGIN: line 3, column 7: ..." for malformed text
[[nodiscard]] Json ParseJson(std::string_view text, const std::string& origin);

/// Text with sorted keys; `indent` < 0 gives one line. Non-finite numbers are written as null.
[[nodiscard]] std::string DumpJson(const Json& value, int indent = -1);

/// A value of a document with its path. The accessors throw Error{kCorruptInput} "ORIGIN: key
/// 'a.b[3]': expected ..., found ..." when the value is not what they return.
/// owns  nothing: document and origin must outlive it
class JsonView {
 public:
  JsonView(const Json& value, const std::string& origin) : value_(&value), origin_(&origin) {}

  [[nodiscard]] bool Has(const std::string& key) const;
  [[nodiscard]] JsonView operator[](const std::string& key) const;  ///< required member
  [[nodiscard]] JsonView operator[](std::size_t index) const;
  [[nodiscard]] std::size_t size() const;  ///< of an array
  [[nodiscard]] std::vector<JsonView> Items() const;
  [[nodiscard]] std::string String() const;
  [[nodiscard]] bool Bool() const;
  [[nodiscard]] std::int64_t Int(
      std::int64_t low = std::numeric_limits<std::int64_t>::min(),
      std::int64_t high = std::numeric_limits<std::int64_t>::max()) const;
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

}  // namespace dbsp
