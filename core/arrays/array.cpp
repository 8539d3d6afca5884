// SPDX-License-Identifier: Apache-2.0
#include "core/arrays/array.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/error.h"

namespace dbsp {
namespace {

static_assert(std::endian::native == std::endian::little, "array files are read as little-endian");

constexpr std::int64_t kMaxInt64 = std::numeric_limits<std::int64_t>::max();

template <typename T>
T ElementAt(const Array& array, std::int64_t index) {
  T value;
  std::memcpy(&value, array.bytes.data() + static_cast<std::size_t>(index) * sizeof(T), sizeof(T));
  return value;
}

double FromHalf(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 0x1f;
  const int mantissa = bits & 0x3ff;
  const double sign = (bits & 0x8000) != 0 ? -1.0 : 1.0;
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  if (exponent == 31) {
    return mantissa != 0 ? std::numeric_limits<double>::quiet_NaN()
                         : sign * std::numeric_limits<double>::infinity();
  }
  return sign * std::ldexp(mantissa + 1024, exponent - 25);
}

double FromBf16(std::uint16_t bits) {
  return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U));
}

bool IsFloat(ArrayType type) {
  return type == ArrayType::kF2 || type == ArrayType::kBf16 || type == ArrayType::kF4 ||
         type == ArrayType::kF8;
}

/// Compares elements as unsigned words. The sign bit of a float is ignored, because -0.0 is zero.
template <typename Word>
void NonZeroWords(const Array& array,
                  std::int64_t begin,
                  bool is_float,
                  std::span<std::uint8_t> result) {
  const Word kept =
      is_float ? static_cast<Word>(static_cast<Word>(~Word{0}) >> 1U) : static_cast<Word>(~Word{0});
  const char* at = array.bytes.data() + static_cast<std::size_t>(begin) * sizeof(Word);
  for (std::uint8_t& out : result) {
    Word word;
    std::memcpy(&word, at, sizeof(Word));
    out = (word & kept) != 0 ? 1 : 0;
    at += sizeof(Word);
  }
}

}  // namespace

const char* NameOf(ArrayType type) {
  constexpr const char* kNames[] = {
      "b1", "u1", "i1", "i2", "i4", "i8", "f2", "bf16", "f4", "f8"};  // NOLINT: a table of literals
  return kNames[static_cast<std::size_t>(type)];
}

std::int64_t BytesOf(ArrayType type) {
  switch (type) {
    case ArrayType::kB1:
    case ArrayType::kU1:
    case ArrayType::kI1:
      return 1;
    case ArrayType::kI2:
    case ArrayType::kF2:
    case ArrayType::kBf16:
      return 2;
    case ArrayType::kI4:
    case ArrayType::kF4:
      return 4;
    case ArrayType::kI8:
    case ArrayType::kF8:
      return 8;
  }
  return 1;
}

std::string ShapeText(std::span<const std::int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

std::int64_t ElementCount(std::span<const std::int64_t> shape) {
  std::int64_t count = 1;
  bool overflow = false;
  for (const std::int64_t size : shape) {
    if (size < 0) {
      Fail(ErrorCode::kInvalidArgument, "shape {} has a negative size", ShapeText(shape));
    }
    overflow |= __builtin_mul_overflow(count, size, &count);
  }
  if (overflow) Fail(ErrorCode::kInvalidArgument, "shape {} is too large", ShapeText(shape));
  return count;
}

std::int64_t Array::size() const { return static_cast<std::int64_t>(bytes.size()) / BytesOf(type); }

double Array::Double(std::int64_t index) const {
  DBSP_DCHECK(index >= 0 && index < size());
  switch (type) {
    case ArrayType::kF2:
      return FromHalf(ElementAt<std::uint16_t>(*this, index));
    case ArrayType::kBf16:
      return FromBf16(ElementAt<std::uint16_t>(*this, index));
    case ArrayType::kF4:
      return static_cast<double>(ElementAt<float>(*this, index));
    case ArrayType::kF8:
      return ElementAt<double>(*this, index);
    default:
      return static_cast<double>(Int(index));
  }
}

std::int64_t Array::Int(std::int64_t index) const {
  DBSP_DCHECK(index >= 0 && index < size());
  switch (type) {
    case ArrayType::kB1:
      return ElementAt<std::uint8_t>(*this, index) != 0 ? 1 : 0;
    case ArrayType::kU1:
      return ElementAt<std::uint8_t>(*this, index);
    case ArrayType::kI1:
      return ElementAt<std::int8_t>(*this, index);
    case ArrayType::kI2:
      return ElementAt<std::int16_t>(*this, index);
    case ArrayType::kI4:
      return ElementAt<std::int32_t>(*this, index);
    case ArrayType::kI8:
      return ElementAt<std::int64_t>(*this, index);
    default:
      break;
  }
  const double value = Double(index);
  constexpr double kLimit = 9.2e18;  // below 2^63, and exact enough for any index
  if (!(std::fabs(value) < kLimit) || value != std::floor(value)) {
    Fail(ErrorCode::kCorruptInput, "array element {}: expected an integer, found {}", index, value);
  }
  return static_cast<std::int64_t>(value);
}

bool Array::Bool(std::int64_t index) const {
  std::uint8_t result = 0;
  NonZero(index, {&result, 1});
  return result != 0;
}

void Array::NonZero(std::int64_t begin, std::span<std::uint8_t> result) const {
  DBSP_DCHECK(begin >= 0 && begin + static_cast<std::int64_t>(result.size()) <= size());
  const bool is_float = IsFloat(type);
  switch (BytesOf(type)) {
    case 1:
      return NonZeroWords<std::uint8_t>(*this, begin, is_float, result);
    case 2:
      return NonZeroWords<std::uint16_t>(*this, begin, is_float, result);
    case 4:
      return NonZeroWords<std::uint32_t>(*this, begin, is_float, result);
    default:
      return NonZeroWords<std::uint64_t>(*this, begin, is_float, result);
  }
}

Array MakeArray(ArrayType type, std::vector<std::int64_t> shape) {
  const std::int64_t count = ElementCount(shape);
  if (count > kMaxInt64 / BytesOf(type)) {
    Fail(ErrorCode::kInvalidArgument, "shape {} is too large", ShapeText(shape));
  }
  Array array{type, std::move(shape), {}};
  array.bytes.assign(count * BytesOf(type), '\0');
  return array;
}

Array LoadArray(const std::filesystem::path& path, const std::string& name) {
  return ArrayFile(path, name).Slice();
}

}  // namespace dbsp
