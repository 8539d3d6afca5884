// SPDX-License-Identifier: Apache-2.0
// Array files written byte by byte, from the formats' descriptions and without the code under
// test, so that a fault shared by reader and writer cannot hide.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace dbsp::testing {

inline std::string LittleEndian(std::uint64_t value, int width) {
  std::string bytes;
  for (int i = 0; i < width; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xff);
  return bytes;
}

inline std::uint32_t Crc32(const std::string& bytes) {
  std::uint32_t crc = ~0U;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320U : 0U);
  }
  return ~crc;
}

/// A deflate stream made of stored blocks.
inline std::string DeflateStored(const std::string& bytes) {
  constexpr std::size_t kBlock = 65535;
  std::string out;
  for (std::size_t at = 0; at == 0 || at < bytes.size(); at += kBlock) {
    const std::string part = bytes.substr(at, kBlock);
    out += at + kBlock >= bytes.size() ? '\x01' : '\x00';
    out += LittleEndian(part.size(), 2) + LittleEndian(~part.size(), 2) + part;
  }
  return out;
}

enum class ZipKind { kStored, kDeflated, kZip64 };

struct ZipPart {
  std::string name;
  std::string bytes;
  std::int64_t declared = -1;  ///< size to declare instead of the true one
};

inline std::string MakeZip(const std::vector<ZipPart>& parts, ZipKind kind = ZipKind::kStored) {
  const bool zip64 = kind == ZipKind::kZip64;
  const int method = kind == ZipKind::kDeflated ? 8 : 0;
  std::string out;
  std::string directory;
  for (const ZipPart& part : parts) {
    const std::string data = method == 8 ? DeflateStored(part.bytes) : part.bytes;
    const auto size =
        part.declared < 0 ? part.bytes.size() : static_cast<std::uint64_t>(part.declared);
    const std::string sizes =
        LittleEndian(zip64 ? ~0U : data.size(), 4) + LittleEndian(zip64 ? ~0U : size, 4);
    const std::string wide = LittleEndian(size, 8) + LittleEndian(data.size(), 8);
    const std::string common = LittleEndian(zip64 ? 45 : 20, 2) + LittleEndian(0, 2) +
                               LittleEndian(static_cast<std::uint64_t>(method), 2) +
                               LittleEndian(0, 2) + LittleEndian(0x21, 2) +
                               LittleEndian(Crc32(part.bytes), 4) + sizes +
                               LittleEndian(part.name.size(), 2);
    const std::string local = zip64 ? LittleEndian(1, 2) + LittleEndian(16, 2) + wide : "";
    const std::string central =
        zip64 ? LittleEndian(1, 2) + LittleEndian(24, 2) + wide + LittleEndian(out.size(), 8) : "";
    directory += "PK\x01\x02" + LittleEndian(45, 2) + common + LittleEndian(central.size(), 2) +
                 LittleEndian(0, 2) + LittleEndian(0, 2) + LittleEndian(0, 2) + LittleEndian(0, 4) +
                 LittleEndian(zip64 ? ~0U : out.size(), 4) + part.name + central;
    out += "PK\x03\x04" + common + LittleEndian(local.size(), 2) + part.name + local + data;
  }
  const std::size_t start = out.size();
  out += directory;
  const std::size_t end64 = out.size();
  if (zip64) {
    out += "PK\x06\x06" + LittleEndian(44, 8) + LittleEndian(45, 2) + LittleEndian(45, 2) +
           LittleEndian(0, 4) + LittleEndian(0, 4) + LittleEndian(parts.size(), 8) +
           LittleEndian(parts.size(), 8) + LittleEndian(directory.size(), 8) +
           LittleEndian(start, 8);
    out += "PK\x06\x07" + LittleEndian(0, 4) + LittleEndian(end64, 8) + LittleEndian(1, 4);
  }
  out += "PK\x05\x06" + LittleEndian(0, 4) + LittleEndian(zip64 ? 0xffff : parts.size(), 2) +
         LittleEndian(zip64 ? 0xffff : parts.size(), 2) +
         LittleEndian(zip64 ? ~0U : directory.size(), 4) + LittleEndian(zip64 ? ~0U : start, 4) +
         LittleEndian(0, 2);
  return out;
}

/// `header` is the dictionary's text.
inline std::string MakeNpy(const std::string& header, const std::string& data, int version = 1) {
  const std::string text = header + "\n";
  return "\x93NUMPY" + std::string(1, static_cast<char>(version)) + std::string(1, '\0') +
         LittleEndian(text.size(), version == 1 ? 2 : 4) + text + data;
}

inline std::string NpyHeader(const std::string& descr,
                             const std::string& shape,
                             bool fortran = false) {
  return "{'descr': '" + descr + "', 'fortran_order': " + (fortran ? "True" : "False") +
         ", 'shape': " + shape + ", }";
}

inline std::string MakeSafetensors(const std::string& json, const std::string& data) {
  return LittleEndian(json.size(), 8) + json + data;
}

// --- pickles, protocol 2 ---
inline std::string PickleInt(std::int64_t value) {
  return value >= 0 && value < 256
             ? "K" + LittleEndian(static_cast<std::uint64_t>(value), 1)
             : "\x8a\x08" + LittleEndian(static_cast<std::uint64_t>(value), 8);
}
inline std::string PickleString(const std::string& text) {
  return "X" + LittleEndian(text.size(), 4) + text;
}
inline std::string PickleTuple(const std::vector<std::int64_t>& values) {
  std::string out = "(";
  for (const std::int64_t value : values) out += PickleInt(value);
  return out + "t";
}
struct PickleTensor {
  std::string storage_class;  ///< "FloatStorage"
  std::string key;
  std::int64_t elements;
  std::int64_t offset;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> strides;
};
inline std::string Pickled(const PickleTensor& t) {
  return "ctorch._utils\n_rebuild_tensor_v2\n((" + PickleString("storage") + "ctorch\n" +
         t.storage_class + "\n" + PickleString(t.key) + PickleString("cpu") +
         PickleInt(t.elements) + "tQ" + PickleInt(t.offset) + PickleTuple(t.shape) +
         PickleTuple(t.strides) + "\x89" + "ccollections\nOrderedDict\n)RtR";
}
inline std::string Pickle(const std::string& object) { return "\x80\x02" + object + "."; }

inline std::string MakeTorch(const std::string& pickle,
                             const std::vector<ZipPart>& storages,
                             const std::string& byteorder = "little") {
  std::vector<ZipPart> parts = {{"model/data.pkl", pickle}, {"model/byteorder", byteorder}};
  for (const ZipPart& storage : storages) {
    parts.push_back({"model/data/" + storage.name, storage.bytes, storage.declared});
  }
  parts.push_back({"model/version", "3\n"});
  return MakeZip(parts);
}

}  // namespace dbsp::testing
