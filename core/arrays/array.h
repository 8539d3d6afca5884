// SPDX-License-Identifier: Apache-2.0
// Arrays in files: .npy, .npz, .pt/.pth (torch zip checkpoints), .safetensors.
//
// Files are not trusted: every size is checked against the file before memory is allocated, and the
// pickle of a checkpoint is interpreted without running code. Formats, limits and names:
// docs/formats/arrays.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dbsp {

enum class ArrayType : std::uint8_t { kB1, kU1, kI1, kI2, kI4, kI8, kF2, kBf16, kF4, kF8 };

/// "b1", "u1", "i1", "i2", "i4", "i8", "f2", "bf16", "f4", "f8".
[[nodiscard]] const char* NameOf(ArrayType type);
/// Bytes of one element.
[[nodiscard]] std::int64_t BytesOf(ArrayType type);
/// Product of the dimensions; 1 for an empty shape.
/// errors   Error{kInvalidArgument} for a negative dimension or a product beyond 63 bits
[[nodiscard]] std::int64_t ElementCount(std::span<const std::int64_t> shape);
/// "[3, 4]".
[[nodiscard]] std::string ShapeText(std::span<const std::int64_t> shape);

/// An array in memory: C order, native byte order.
/// requires bytes.size() == size() * BytesOf(type)
struct Array {
  ArrayType type = ArrayType::kF4;
  std::vector<std::int64_t> shape;
  std::string bytes;

  /// Elements, the product of the shape.
  [[nodiscard]] std::int64_t size() const;
  /// Element by flat C-order index. requires 0 <= index < size()
  [[nodiscard]] double Double(std::int64_t index) const;
  /// errors   Error{kCorruptInput} for a float that is not an integer of at most 63 bits
  [[nodiscard]] std::int64_t Int(std::int64_t index) const;
  /// Whether the element is not zero. NaN is not zero.
  [[nodiscard]] bool Bool(std::int64_t index) const;
  /// Sets result[i] to 1 when element begin + i is not zero, else to 0.
  /// requires [begin, begin + result.size()) is inside the array
  void NonZero(std::int64_t begin, std::span<std::uint8_t> result) const;
};

/// Zero-filled array of a shape. errors as ElementCount
[[nodiscard]] Array MakeArray(ArrayType type, std::vector<std::int64_t> shape);

struct ArrayInfo {
  std::string name;  ///< "" for a .npy file and for a checkpoint that is one tensor
  ArrayType type = ArrayType::kF4;
  std::vector<std::int64_t> shape;
  /// Why the array cannot be read, as a message that names the file; "" if it can. Type and shape
  /// then mean nothing.
  std::string problem = {};
  std::string text = {};  ///< of a single byte string of an .npz, at most 16 bytes
};

/// Names, types and shapes of the arrays in a file, in the file's order, unreadable ones included.
/// errors   Error{kIo, kNotFound, kCorruptInput} naming the file and the fault
[[nodiscard]] std::vector<ArrayInfo> ListArrays(const std::filesystem::path& path);

/// One array of a file. A slice reads only the bytes that it needs. A compressed member of an .npz
/// is inflated into memory at its first slice.
/// owns     an open file
/// threads  const members are safe concurrently
class ArrayFile {
 public:
  /// `name` may be empty where the file has one readable array. Other arrays of the file may be of
  /// any type.
  /// errors   as ListArrays; Error{kNotFound} for an unknown name, with the nearest and all known;
  ///          Error{kCorruptInput} for an array that has a problem
  ArrayFile(const std::filesystem::path& path, const std::string& name);
  ~ArrayFile();
  ArrayFile(ArrayFile&&) noexcept;
  ArrayFile& operator=(ArrayFile&&) noexcept;

  [[nodiscard]] const std::string& name() const;
  [[nodiscard]] ArrayType type() const;
  [[nodiscard]] const std::vector<std::int64_t>& shape() const;

  /// The sub-array at the leading indices `first`, of shape shape()[first.size()...]. Slice({}) is
  /// the whole array.
  /// errors   Error{kInvalidArgument} for an index out of range; Error{kIo, kCorruptInput}
  [[nodiscard]] Array Slice(std::span<const std::int64_t> first = {}) const;
  /// Entries [begin, end) of the leading dimension. errors as Slice
  [[nodiscard]] Array Range(std::int64_t begin, std::int64_t end) const;

 private:
  struct Entry;
  explicit ArrayFile(std::unique_ptr<Entry> entry);
  friend std::vector<ArrayFile> OpenArrays(const std::filesystem::path& path,
                                           std::span<const std::string> names);
  std::unique_ptr<Entry> entry_;
};

/// Several arrays of one file, which is parsed once. errors   as ArrayFile
[[nodiscard]] std::vector<ArrayFile> OpenArrays(const std::filesystem::path& path,
                                                std::span<const std::string> names);

/// ArrayFile(path, name).Slice().
[[nodiscard]] Array LoadArray(const std::filesystem::path& path, const std::string& name = {});

/// Write by WriteFileAtomically(). The .npz is compressed, and equal arrays give equal bytes.
/// errors   Error{kIo}; Error{kInvalidArgument} for bf16, which these formats cannot hold
void WriteNpy(const std::filesystem::path& path, const Array& array);
void WriteNpz(const std::filesystem::path& path,
              const std::vector<std::pair<std::string, Array>>& arrays);
/// All types. `metadata` is the format's own table of texts.
/// errors  Error{kIo}
void WriteSafetensors(const std::filesystem::path& path,
                      const std::vector<std::pair<std::string, Array>>& arrays,
                      const std::map<std::string, std::string>& metadata = {});
/// The table of texts of a .safetensors file, empty without one.
/// errors   Error{kIo, kNotFound, kCorruptInput} naming the file and the key
[[nodiscard]] std::map<std::string, std::string> SafetensorsMetadata(
    const std::filesystem::path& path);

}  // namespace dbsp
