// SPDX-License-Identifier: Apache-2.0
// The object that the pickle of a checkpoint describes, built without running code.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/arrays/array.h"

namespace dbsp::pickle {

/// The functions and classes that a pickle may name.
enum class Global : std::uint8_t {
  kTensor,
  kParameter,
  kFromType,
  kOrderedDict,
  kDefaultDict,
  kSize,
  kStorage,
  kDtype
};

/// A global of the list. `type` is the element type of a storage class.
struct Known {
  Global global = Global::kDtype;
  ArrayType type = ArrayType::kF4;
};
/// std::nullopt for a global that is not on the list.
[[nodiscard]] std::optional<Known> FindGlobal(std::string_view name);
/// What to save in place of an object of a global that is not on the list.
[[nodiscard]] std::string_view AdviceFor(std::string_view name);

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
    kTensor,
    kOpaque  ///< an object of a global that is not on the list; nothing inside it is read
  };
  Kind kind = Kind::kOther;
  Global global = Global::kDtype;
  ArrayType type = ArrayType::kF4;  ///< of a storage class or tensor
  std::int64_t number = 0;  ///< of an int; elements of a storage; offset of a tensor
  std::string text;  ///< of a string; key of a storage; why an opaque object cannot be read
  std::vector<const Value*> items;  ///< of containers; a dict's keys and values alternate;
                                    ///< of a tensor: storage, size, stride
};

/// The object that a pickle describes, with the arena that owns all objects it refers to.
struct Object {
  std::deque<Value> arena;
  const Value* root = nullptr;
};

/// Interprets the opcodes. No code runs: a global outside a short list, and what it is called with,
/// becomes an opaque object.
/// errors   Error{kCorruptInput} "ORIGIN: pickle byte N: ..."
[[nodiscard]] Object Run(std::string_view pickle, const std::string& origin);

}  // namespace dbsp::pickle
