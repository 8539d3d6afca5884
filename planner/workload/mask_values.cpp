// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/mask_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace dbsp {
namespace {

constexpr unsigned kZero = 1;
constexpr unsigned kOne = 2;
constexpr unsigned kFull = 4;
constexpr unsigned kBad = 8;

/// Largest value of an additive mask that means inactive. Masks use -inf, -65504, -10000 and the
/// like; biases of attention are far smaller.
constexpr double kAdditiveInactive = -1000;

/// Bit patterns of the elements of a mask.
template <typename Word>
struct Patterns {
  Word minus_zero;  ///< equal to 0 for a type without it
  Word one;
  Word full;  ///< equal to `one` for a type that cannot hold 255
};

template <typename Word>
Patterns<Word> PatternsOf(ArrayType type) {
  switch (type) {
    case ArrayType::kI1:
      return {0, 1, 1};
    case ArrayType::kF2:
      return {static_cast<Word>(0x8000), static_cast<Word>(0x3c00), static_cast<Word>(0x5bf8)};
    case ArrayType::kBf16:
      return {static_cast<Word>(0x8000), static_cast<Word>(0x3f80), static_cast<Word>(0x437f)};
    case ArrayType::kF4:
      return {static_cast<Word>(0x80000000U),
              static_cast<Word>(std::bit_cast<std::uint32_t>(1.0F)),
              static_cast<Word>(std::bit_cast<std::uint32_t>(255.0F))};
    case ArrayType::kF8:
      return {static_cast<Word>(std::uint64_t{1} << 63U),
              static_cast<Word>(std::bit_cast<std::uint64_t>(1.0)),
              static_cast<Word>(std::bit_cast<std::uint64_t>(255.0))};
    default:
      return {0, 1, static_cast<Word>(255)};
  }
}

/// Classifies elements as words. Returns the flags of all of them.
template <typename Word>
unsigned ReadWords(const Array& array, std::int64_t begin, std::span<std::uint8_t> active) {
  const Patterns<Word> known = PatternsOf<Word>(array.type);
  const char* at = array.bytes.data() + static_cast<std::size_t>(begin) * sizeof(Word);
  unsigned flags = 0;
  for (std::uint8_t& out : active) {
    Word word;
    std::memcpy(&word, at, sizeof(Word));
    at += sizeof(Word);
    const bool zero = word == 0 || word == known.minus_zero;
    const bool one = word == known.one;
    const bool full = word == known.full;
    flags |= zero ? kZero : one ? kOne : full ? kFull : kBad;
    out = zero ? 0 : 1;
  }
  return flags;
}

/// Reads bytes of 0 and 1, which most masks are, faster than ReadWords. Returns kBad for others.
unsigned ReadBits(const Array& array, std::int64_t begin, std::span<std::uint8_t> active) {
  std::memcpy(active.data(), array.bytes.data() + begin, active.size());
  unsigned all = 0;
  unsigned both = 1;
  for (const std::uint8_t byte : active) {
    all |= byte;
    both &= byte;
  }
  if (all > 1) return kBad;
  return (all != 0 ? kOne : 0U) | (both == 0 ? kZero : 0U);
}

unsigned ReadMask(const Array& array, std::int64_t begin, std::span<std::uint8_t> active) {
  if (BytesOf(array.type) == 1) {
    const unsigned flags = ReadBits(array, begin, active);
    if ((flags & kBad) == 0) return flags;
  }
  switch (BytesOf(array.type)) {
    case 1:
      return ReadWords<std::uint8_t>(array, begin, active);
    case 2:
      return ReadWords<std::uint16_t>(array, begin, active);
    case 4:
      return ReadWords<std::uint32_t>(array, begin, active);
    default:
      return ReadWords<std::uint64_t>(array, begin, active);
  }
}

bool IsMaskElement(const Array& array, std::int64_t index) {
  std::uint8_t out = 0;
  return (ReadMask(array, index, {&out, 1}) & kBad) == 0;
}

}  // namespace

bool IsFloat(ArrayType type) {
  return type == ArrayType::kF2 || type == ArrayType::kBf16 || type == ArrayType::kF4 ||
         type == ArrayType::kF8;
}

std::string ValueRule::Text() const {
  std::string text;
  if (threshold) text = fmt::format("above {} is active", *threshold);
  if (additive) text = "0 is active, -inf and values up to -1000 are inactive (additive)";
  if (sla != SlaClass::kNone) text = "1 is critical, 0 is marginal, -1 is negligible (SLA)";
  if (inverted) text += fmt::format("{}inverted", text.empty() ? "" : ", ");
  return text;
}

void MaskValues::Remember(unsigned flags, double low, double high) {
  const std::lock_guard lock(mutex_);
  flags_ |= flags;
  if (!any_ || low < low_) low_ = low;
  if (!any_ || high > high_) high_ = high;
  any_ = true;
}

std::int64_t MaskValues::Read(const Array& array,
                              std::int64_t begin,
                              std::span<std::uint8_t> active) {
  if (active.empty()) return -1;
  const bool classes = rule_.sla != SlaClass::kNone;
  if (!rule_.threshold && !rule_.additive && !classes) {
    const unsigned flags = ReadMask(array, begin, active);
    if ((flags & kBad) != 0) {
      for (std::size_t i = 0; i < active.size(); ++i) {
        const auto at = static_cast<std::int64_t>(i);
        if (!IsMaskElement(array, begin + at)) return at;
      }
    }
    Remember(flags, 0, 0);
  } else {
    double low = std::numeric_limits<double>::infinity();
    double high = -low;
    for (std::size_t i = 0; i < active.size(); ++i) {
      const double value = array.Double(begin + static_cast<std::int64_t>(i));
      const bool good = classes          ? value == -1 || value == 0 || value == 1
                        : rule_.additive ? value == 0 || value <= kAdditiveInactive
                                         : !std::isnan(value);
      if (!good) return static_cast<std::int64_t>(i);
      const bool on = classes          ? value == (rule_.sla == SlaClass::kCritical ? 1 : 0)
                      : rule_.additive ? value == 0
                                       : value > *rule_.threshold;
      active[i] = on ? 1 : 0;
      low = std::min(low, value);
      high = std::max(high, value);
    }
    Remember(0, low, high);
  }
  if (rule_.inverted) {
    for (std::uint8_t& out : active) out ^= 1U;
  }
  return -1;
}

std::string MaskValues::Seen() const {
  const std::lock_guard lock(mutex_);
  if (!any_) return "none";
  if (rule_.threshold || rule_.additive || rule_.sla != SlaClass::kNone)
    return fmt::format("{} to {}", low_, high_);
  std::string text;
  for (const auto& [flag, value] : {std::pair{kZero, "0"}, {kOne, "1"}, {kFull, "255"}}) {
    if ((flags_ & flag) != 0) text += fmt::format("{}{}", text.empty() ? "" : ", ", value);
  }
  return text;
}

std::string NoMaskElement(const Array& array, std::int64_t index, const ValueRule& rule) {
  std::string value = IsFloat(array.type) ? fmt::format("{}", array.Double(index))
                                          : fmt::format("{}", array.Int(index));
  if (array.type == ArrayType::kB1) value = "a bool of neither 0 nor 1";
  if (rule.sla != SlaClass::kNone && !std::isnan(array.Double(index))) {
    return value + ", but classes of SLA are 1 (critical), 0 (marginal) and -1 (negligible)";
  }
  if (std::isnan(array.Double(index))) return "NaN (not a number), which no option reads";
  if (rule.additive) {
    return value +
           ", but an additive mask holds only 0 (active) and -inf or values up to -1000 "
           "(inactive)";
  }
  return value +
         ", but a mask holds only 0, 1, 255, false and true; threshold=X reads values above X as "
         "active, additive reads 0 as active and -inf as inactive; column lists are read together "
         "with their counts: kv_indices with kv_num_blocks, indices with indptr, lut with "
         "valid_block_num";
}

}  // namespace dbsp
