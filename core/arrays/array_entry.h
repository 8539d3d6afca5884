// SPDX-License-Identifier: Apache-2.0
// Position of an array inside a file. The reader of each format finds it, and array_file.cpp reads.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/arrays/array.h"
#include "core/arrays/byte_source.h"

namespace dbsp {

struct ArrayEntry {
  ArrayInfo info;
  std::vector<std::int64_t> strides;  ///< elements, [rank], >= 0
  std::int64_t offset = 0;  ///< bytes before element 0
  bool swapped = false;  ///< big-endian
  ByteSourcePtr source;
};

/// Strides of a C-order array.
[[nodiscard]] std::vector<std::int64_t> CStrides(const std::vector<std::int64_t>& shape);

/// Checks that every element lies inside the source, with no overflow on the way.
/// errors   Error{kCorruptInput} naming origin and array
void CheckEntry(const ArrayEntry& entry, const std::string& origin);

/// Runs `check`. A fault of the file becomes the problem of `entry`, so that the other arrays of
/// the file can be read. errors   whatever `check` throws, Error{kCorruptInput} excepted
void KeepProblem(ArrayEntry& entry, const std::function<void()>& check);

/// Arrays of one file of each format. An entry is checked, or its info tells the problem.
[[nodiscard]] std::vector<ArrayEntry> NpyEntries(const std::filesystem::path& path);
[[nodiscard]] std::vector<ArrayEntry> NpzEntries(const std::filesystem::path& path);
[[nodiscard]] std::vector<ArrayEntry> TorchEntries(const std::filesystem::path& path);
[[nodiscard]] std::vector<ArrayEntry> SafetensorsEntries(const std::filesystem::path& path);

/// A tensor of a checkpoint as described by its pickle.
struct PickledTensor {
  std::string name;
  ArrayType type = ArrayType::kF4;
  std::string storage;  ///< member data/STORAGE
  std::int64_t storage_elements = 0;
  std::int64_t offset = 0;  ///< elements
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> strides;  ///< elements
  std::string problem;  ///< as ArrayInfo::problem
};

/// The tensors that can be reached from the object of the pickle through dicts, lists and tuples.
/// Their names are the paths ("a.b", "layers.0", "0.1" for the key (0, 1)); the name of a single
/// tensor is "". An object that is not read has an entry with its problem.
/// errors   Error{kCorruptInput} "ORIGIN: pickle byte N: ..."
[[nodiscard]] std::vector<PickledTensor> TensorsOfPickle(std::string_view pickle,
                                                         const std::string& origin);

}  // namespace dbsp
