// SPDX-License-Identifier: Apache-2.0
// What a user may say about the masks in an array file.
#pragma once

#include <cstdint>
#include <string>

#include "planner/workload/mask_axes.h"
#include "planner/workload/mask_values.h"

namespace dbsp {

/// Meaning of the entries of a table with counts.
enum class TableCode : std::uint8_t {
  kByName,  ///< "lut" by its content, which must allow one reading only; else columns
  kDelta,  ///< a first column, then steps from column to column
  kOrdinal  ///< columns
};
/// Which bit of a byte is the first block where an array holds eight blocks per byte: kLittle the
/// lowest, kBig the highest. kNone: the array holds no packed bits.
enum class BitOrder : std::uint8_t { kNone, kLittle, kBig };

struct MaskArrayOptions {
  std::string name;  ///< as FindMaskArrays
  AxesRequest axes;
  ValueRule values;  ///< dense masks only
  TableCode table = TableCode::kByName;
  BitOrder packed = BitOrder::kNone;  ///< set: the array holds eight blocks per byte
  /// The columns are single keys: block.k is 1, and lists of columns must be ascending.
  bool single_keys = false;
};

}  // namespace dbsp
