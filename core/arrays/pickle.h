// SPDX-License-Identifier: Apache-2.0
// The object that the pickle of a checkpoint describes, built without running code.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "core/arrays/array.h"

namespace dbsp::pickle {

/// The functions and classes that a pickle may name.
enum class Global : std::uint8_t { kTensor, kParameter, kOrderedDict, kSize, kStorage, kDtype };

/// One object of a pickle. It refers to other objects and does not own them.
struct Value {
  enum class Kind : std::uint8_t {
    kOther,
    kInt,
    kString,
    kTuple,
    kList,
    kDict,
    kGlobal,
    kStorage,
    kTensor
  };
  Kind kind = Kind::kOther;
  Global global = Global::kDtype;
  ArrayType type = ArrayType::kF4;  ///< of a storage class or tensor
  std::int64_t number = 0;  ///< of an int; elements of a storage; offset of a tensor
  std::string text;  ///< of a string; key of a storage
  std::vector<const Value*> items;  ///< of containers; a dict's keys and values alternate;
                                    ///< of a tensor: storage, size, stride
};

/// The object that a pickle describes, with the arena that owns all objects it refers to.
struct Object {
  std::deque<Value> arena;
  const Value* root = nullptr;
};

/// Interprets the opcodes. No code runs: only the globals of a short list are allowed.
/// errors   Error{kCorruptInput} "ORIGIN: pickle byte N: ..."
[[nodiscard]] Object Run(std::string_view pickle, const std::string& origin);

}  // namespace dbsp::pickle
