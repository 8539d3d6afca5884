// SPDX-License-Identifier: Apache-2.0
#include "core/json.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/suggest.h"

namespace dbsp {
namespace {

constexpr std::size_t kShownCharacters = 40;

/// `text` cut to a length that a line of an error can hold.
std::string Cut(const std::string& text) {
  if (text.size() <= kShownCharacters) return text;
  std::size_t end = kShownCharacters;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return text.substr(0, end) + "...";
}

std::string Shown(const Json& value) {
  if (value.is_structured() && value.size() > kShownCharacters) {
    return fmt::format(
        "{} of {} entries", value.is_array() ? "an array" : "an object", value.size());
  }
  if (value.is_string() && value.get_ref<const std::string&>().size() > kShownCharacters) {
    return Cut(fmt::format("\"{}", Cut(value.get_ref<const std::string&>())));
  }
  return Cut(value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

/// Walks over the text and tells how far the parser has read.
class Position {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;
  Position(const char* at, const char** furthest) : at_(at), furthest_(furthest) {}
  reference operator*() const { return *at_; }
  Position& operator++() {
    *furthest_ = ++at_;
    return *this;
  }
  bool operator==(const Position& other) const { return at_ == other.at_; }
  bool operator!=(const Position& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  const char** furthest_;
};

/// Builds the document from the events of the parser, which does not recurse.
class Builder : public nlohmann::json_sax<Json> {
 public:
  Builder(std::string_view text, const std::string& origin, const JsonLimits& limits)
      : text_(text), origin_(origin), limits_(limits), furthest_(text.data()) {}

  Json Build() {
    if (text_.size() > limits_.max_bytes) {
      Fail(ErrorCode::kCorruptInput,
           "{}: {} bytes of JSON, expected at most {}",
           origin_,
           text_.size(),
           limits_.max_bytes);
    }
    // The parser takes a NUL for the end of the text and would ignore what follows.
    const std::size_t nul = text_.find('\0');
    if (nul != std::string_view::npos) Wrong(nul, "a NUL character, expected JSON");
    (void)Json::sax_parse(Position(text_.data(), &furthest_),
                          Position(text_.data() + text_.size(), &furthest_),
                          this);
    return std::move(root_);
  }

  bool null() override { return Add(nullptr); }
  bool boolean(bool value) override { return Add(value); }
  bool number_integer(std::int64_t value) override { return Add(value); }
  bool number_unsigned(std::uint64_t value) override { return Add(value); }
  bool number_float(double value, const std::string& digits) override {
    if (digits.find_first_of(".eE") == std::string::npos) {
      Wrong("integer {} is out of range, expected 64 bits", Cut(digits));
    }
    const bool zero = digits.substr(0, digits.find_first_of("eE")).find_first_of("123456789") ==
                      std::string::npos;
    if (!std::isfinite(value) || (value == 0 && !zero)) NumberRange();
    return Add(value);
  }
  bool string(std::string& value) override {
    if (value.find('\0') != std::string::npos) Wrong("a string with a NUL character");
    return Add(std::move(value));
  }
  bool binary(Json::binary_t& /*value*/) override { Wrong("binary data, expected JSON"); }
  bool start_object(std::size_t /*size*/) override { return Open(Json::object()); }
  bool start_array(std::size_t /*size*/) override { return Open(Json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }
  bool key(std::string& name) override {
    Count(2);
    Level& level = levels_.back();
    if (name.find('\0') != std::string::npos) Wrong("a key with a NUL character");
    const auto [member, added] =
        level.container->get_ref<Json::object_t&>().try_emplace(std::move(name), nullptr);
    level.member = &*member;
    if (!added) Wrong("the key appears twice in its object");
    return true;
  }
  bool parse_error(std::size_t position,
                   const std::string& /*token*/,
                   const nlohmann::detail::exception& error) override {
    constexpr int kOutOfRange = 406;
    if (error.id == kOutOfRange) NumberRange();
    const std::size_t at = std::min(position == 0 ? 0 : position - 1, text_.size());
    if (std::string_view(error.what()).find("UTF-8") != std::string_view::npos) {
      Wrong(at, "invalid UTF-8, expected JSON");
    }
    Wrong(at,
          at >= text_.size() ? "the text ends early, expected JSON"
                             : "unexpected character, expected JSON");
  }

 private:
  struct Level {
    Json* container;
    Json::object_t::value_type* member;  ///< of an object: the member that is read
  };

  bool Add(Json value) {
    Count(1);
    (void)Place(std::move(value));
    return true;
  }
  Json* Place(Json value) {
    if (levels_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Level& level = levels_.back();
    if (level.container->is_array()) {
      level.container->push_back(std::move(value));
      return &level.container->back();
    }
    level.member->second = std::move(value);
    return &level.member->second;
  }
  bool Open(Json container) {
    Count(4);
    if (std::cmp_greater_equal(levels_.size(), limits_.max_depth)) {
      Wrong("lists and objects are nested more than {} deep", limits_.max_depth);
    }
    levels_.push_back({Place(std::move(container)), nullptr});
    return true;
  }
  bool Close() {
    levels_.pop_back();
    return true;
  }
  void Count(std::size_t values) {
    count_ += values;
    if (count_ > limits_.max_values) {
      Wrong("more values than the {} that a document may hold", limits_.max_values);
    }
  }

  [[nodiscard]] std::string Path() const {
    std::string path;
    for (std::size_t i = 0; i < levels_.size(); ++i) {
      const Level& level = levels_[i];
      if (level.container->is_array()) {
        const bool inside = i + 1 < levels_.size();
        path += fmt::format("[{}]", level.container->size() - (inside ? 1 : 0));
      } else if (level.member != nullptr) {
        if (!path.empty()) path += '.';
        path += Cut(level.member->first);
      }
    }
    return path.size() > 4 * kShownCharacters ? Cut(path) : path;
  }
  [[noreturn]] void Wrong(std::size_t at, const char* what) const {
    const auto before = text_.substr(0, at);
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    const std::size_t newline = before.rfind('\n');
    const std::string path = Path();
    Fail(ErrorCode::kCorruptInput,
         "{}: line {}, column {}{}: {}",
         origin_,
         line,
         newline == std::string_view::npos ? at + 1 : at - newline,
         path.empty() ? "" : fmt::format(", key '{}'", path),
         what);
  }
  template <typename... Args>
  [[noreturn]] void Wrong(fmt::format_string<Args...> format, Args&&... args) const {
    const auto read = static_cast<std::size_t>(furthest_ - text_.data());
    Wrong(read == 0 ? 0 : read - 1, fmt::format(format, std::forward<Args>(args)...).c_str());
  }
  [[noreturn]] void NumberRange() const {
    Wrong("a number out of range, expected zero or a magnitude from 5e-324 to 1.8e308");
  }

  std::string_view text_;
  const std::string& origin_;
  const JsonLimits& limits_;
  const char* furthest_;
  std::size_t count_ = 0;
  std::vector<Level> levels_;
  Json root_;
};

}  // namespace

Json ParseJson(std::string_view text, const std::string& origin, const JsonLimits& limits) {
  return Builder(text, origin, limits).Build();
}

std::size_t CountJsonValues(const Json& value) {
  if (!value.is_structured()) return 1;
  std::size_t count = 4;
  for (const Json& item : value) count += CountJsonValues(item) + (value.is_object() ? 2 : 0);
  return count;
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

JsonView::Range JsonView::Items() const { return Range(*this); }

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

std::uint64_t JsonView::Unsigned() const {
  if (!value_->is_number_unsigned()) Wrong("an integer from 0 to 2^64 - 1");
  return value_->get<std::uint64_t>();
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
           UnknownName(path_.empty() ? "key" : fmt::format("key in '{}'", path_), Cut(key), names));
    }
  }
}

}  // namespace dbsp
