// SPDX-License-Identifier: Apache-2.0
#include "core/json.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/suggest.h"

namespace dbsp {
namespace {

constexpr std::size_t kShownCharacters = 40;

std::string Shown(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > kShownCharacters) text = text.substr(0, kShownCharacters) + "...";
  return text;
}

}  // namespace

Json ParseJson(std::string_view text, const std::string& origin) {
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& error) {
    const std::size_t at = std::min(error.byte == 0 ? 0 : error.byte - 1, text.size());
    const auto before = text.substr(0, at);
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    const std::size_t newline = before.rfind('\n');
    const std::size_t column = newline == std::string_view::npos ? at + 1 : at - newline;
    const char* what = at >= text.size() ? "the text ends early" : "unexpected character";
    Fail(ErrorCode::kCorruptInput,
         "{}: line {}, column {}: {}, expected JSON",
         origin,
         line,
         column,
         what);
  }
}

std::string DumpJson(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

void JsonView::Wrong(const std::string& expected) const {
  Fail(ErrorCode::kCorruptInput,
       "{}: key '{}': expected {}, found {}",
       *origin_,
       path_.empty() ? "(document)" : path_,
       expected,
       Shown(*value_));
}

bool JsonView::Has(const std::string& key) const {
  return value_->is_object() && value_->contains(key);
}

JsonView JsonView::operator[](const std::string& key) const {
  if (!value_->is_object()) Wrong("an object");
  const auto found = value_->find(key);
  if (found == value_->end()) {
    Fail(ErrorCode::kCorruptInput,
         "{}: key '{}{}{}' is missing",
         *origin_,
         path_,
         path_.empty() ? "" : ".",
         key);
  }
  return {*found, *origin_, path_.empty() ? key : path_ + "." + key};
}

JsonView JsonView::operator[](std::size_t index) const {
  if (index >= size()) Wrong(fmt::format("an array of more than {} entries", index));
  return {(*value_)[index], *origin_, fmt::format("{}[{}]", path_, index)};
}

std::size_t JsonView::size() const {
  if (!value_->is_array()) Wrong("an array");
  return value_->size();
}

std::vector<JsonView> JsonView::Items() const {
  std::vector<JsonView> items;
  items.reserve(size());
  for (std::size_t i = 0; i < size(); ++i) items.push_back((*this)[i]);
  return items;
}

std::string JsonView::String() const {
  if (!value_->is_string()) Wrong("a string");
  return value_->get<std::string>();
}

bool JsonView::Bool() const {
  if (!value_->is_boolean()) Wrong("true or false");
  return value_->get<bool>();
}

std::int64_t JsonView::Int(std::int64_t low, std::int64_t high) const {
  const bool too_large = value_->is_number_unsigned() &&
                         value_->get<std::uint64_t>() >
                             static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (!value_->is_number_integer() || too_large) Wrong("an integer");
  const auto number = value_->get<std::int64_t>();
  if (number < low || number > high) Wrong(fmt::format("an integer from {} to {}", low, high));
  return number;
}

double JsonView::Number(double low, double high) const {
  if (!value_->is_number()) Wrong("a number");
  const auto number = value_->get<double>();
  if (!std::isfinite(number)) Wrong("a finite number");
  if (number < low || number > high) Wrong(fmt::format("a number from {} to {}", low, high));
  return number;
}

void JsonView::RequireSchema(const std::string& schema) const {
  const JsonView found = (*this)["schema"];
  if (found.String() != schema) found.Wrong(fmt::format("\"{}\"", schema));
}

void JsonView::RefuseOtherKeys(std::initializer_list<std::string> known) const {
  if (!value_->is_object()) Wrong("an object");
  const std::vector<std::string> names(known);
  for (const auto& [key, value] : value_->items()) {
    if (std::find(names.begin(), names.end(), key) == names.end()) {
      Fail(ErrorCode::kCorruptInput,
           "{}: {}",
           *origin_,
           UnknownName(path_.empty() ? "key" : fmt::format("key in '{}'", path_), key, names));
    }
  }
}

}  // namespace dbsp
