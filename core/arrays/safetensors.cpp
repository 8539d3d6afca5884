// SPDX-License-Identifier: Apache-2.0
// .safetensors: 8 bytes of header length, a JSON header, and one buffer that the tensors fill.
#include <algorithm>
#include <limits>

#include "core/arrays/array_entry.h"
#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/suggest.h"

namespace dbsp {
namespace {

/// Limit of the format.
constexpr std::uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;

struct SafetensorsType {
  const char* name;
  ArrayType type;
};
constexpr SafetensorsType kTypes[] = {{"BOOL", ArrayType::kB1},
                                      {"U8", ArrayType::kU1},
                                      {"I8", ArrayType::kI1},
                                      {"I16", ArrayType::kI2},
                                      {"I32", ArrayType::kI4},
                                      {"I64", ArrayType::kI8},
                                      {"F16", ArrayType::kF2},
                                      {"BF16", ArrayType::kBf16},
                                      {"F32", ArrayType::kF4},
                                      {"F64", ArrayType::kF8}};  // NOLINT: a table of literals

ArrayType TypeAt(const JsonView& view) {
  const std::string name = view.String();
  for (const SafetensorsType& known : kTypes) {
    if (name == known.name) return known.type;
  }
  view.Wrong("one of BOOL, U8, I8, I16, I32, I64, F16, BF16, F32, F64");
}

ArrayEntry EntryAt(const std::string& name,
                   const JsonView& view,
                   std::int64_t buffer,
                   const ByteSourcePtr& source,
                   const std::string& origin) {
  view.RefuseOtherKeys({"dtype", "shape", "data_offsets"});
  ArrayEntry entry;
  entry.info.name = name;
  entry.info.type = TypeAt(view["dtype"]);
  for (const JsonView& size : view["shape"].Items()) entry.info.shape.push_back(size.Int(0));
  entry.strides = CStrides(entry.info.shape);
  entry.source = source;
  const JsonView offsets = view["data_offsets"];
  if (offsets.size() != 2) offsets.Wrong("a pair [begin, end]");
  const std::int64_t room = source->size() - buffer;
  const std::int64_t begin = offsets[0].Int(0, room);
  const std::int64_t end = offsets[1].Int(begin, room);
  entry.offset = buffer + begin;
  CheckEntry(entry, origin);
  const std::int64_t bytes = ElementCount(entry.info.shape) * BytesOf(entry.info.type);
  if (bytes != end - begin) {
    offsets.Wrong(fmt::format("{} bytes, as the shape needs", bytes));
  }
  return entry;
}

/// Entries that share bytes get a problem.
void MarkOverlaps(std::vector<ArrayEntry>& entries, const std::string& origin) {
  std::vector<ArrayEntry*> sorted;
  for (ArrayEntry& entry : entries) {
    if (!entry.info.problem.empty()) continue;
    if (ElementCount(entry.info.shape) > 0) sorted.push_back(&entry);
  }
  std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) {
    return a->offset < b->offset;
  });
  const auto end = [](const ArrayEntry& entry) {
    return entry.offset + ElementCount(entry.info.shape) * BytesOf(entry.info.type);
  };
  ArrayEntry* before = nullptr;  // the one that reaches furthest
  for (ArrayEntry* entry : sorted) {
    if (before != nullptr && entry->offset < end(*before)) {
      entry->info.problem = fmt::format(
          "{}: arrays '{}' and '{}' overlap", origin, before->info.name, entry->info.name);
      before->info.problem = entry->info.problem;
    }
    if (before == nullptr || end(*entry) > end(*before)) before = entry;
  }
}

struct Header {
  Json json;
  std::int64_t bytes = 0;
};

Header HeaderOf(const ByteSource& source, const std::string& origin) {
  const std::string start = source.Read(0, 8);
  std::uint64_t length = 0;
  for (std::size_t i = 8; i-- > 0;) length = length << 8 | static_cast<unsigned char>(start[i]);
  if (length > kMaxSafetensorsHeaderBytes ||
      length > static_cast<std::uint64_t>(source.size() - 8)) {
    Fail(ErrorCode::kCorruptInput,
         "{}: header of {} bytes in a file of {}",
         origin,
         length,
         source.size());
  }
  const auto bytes = static_cast<std::int64_t>(length);
  Header header{ParseJson(source.Read(8, bytes), origin), bytes};
  if (!header.json.is_object()) JsonView(header.json, origin).Wrong("an object");
  return header;
}

}  // namespace

std::map<std::string, std::string> SafetensorsMetadata(const std::filesystem::path& path) {
  const std::string origin = path.string();
  const Header header = HeaderOf(*OpenFile(path), origin);
  std::map<std::string, std::string> texts;
  if (!header.json.contains("__metadata__")) return texts;
  const JsonView view = JsonView(header.json, origin)["__metadata__"];
  if (!view.raw().is_object()) view.Wrong("an object");
  for (const auto& [key, value] : view.raw().items()) texts[key] = view[key].String();
  return texts;
}

std::vector<ArrayEntry> SafetensorsEntries(const std::filesystem::path& path) {
  const std::string origin = path.string();
  const ByteSourcePtr source = OpenFile(path);
  const Header header = HeaderOf(*source, origin);
  const JsonView document(header.json, origin);
  std::vector<ArrayEntry> entries;
  for (const auto& [name, value] : header.json.items()) {
    if (name == "__metadata__") continue;
    ArrayEntry entry;
    entry.info.name = name;
    KeepProblem(entry,
                [&] { entry = EntryAt(name, document[name], 8 + header.bytes, source, origin); });
    entries.push_back(std::move(entry));
  }
  MarkOverlaps(entries, origin);
  return entries;
}

void WriteSafetensors(const std::filesystem::path& path,
                      const std::vector<std::pair<std::string, Array>>& arrays,
                      const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::int64_t at = 0;
  for (const auto& [name, array] : arrays) {
    DBSP_CHECK(ElementCount(array.shape) == array.size());
    const auto* const type = std::ranges::find(kTypes, array.type, &SafetensorsType::type);
    const auto bytes = static_cast<std::int64_t>(array.bytes.size());
    header[name] = {
        {"dtype", type->name}, {"shape", array.shape}, {"data_offsets", {at, at + bytes}}};
    at += bytes;
  }
  std::string text = header.dump();
  while (text.size() % 8 != 0) text += ' ';  // the format aligns the buffer to 8 bytes
  std::string bytes;
  for (std::size_t i = 0; i < 8; ++i) bytes += static_cast<char>(text.size() >> (8 * i) & 0xff);
  bytes += text;
  for (const auto& [name, array] : arrays) bytes += array.bytes;
  WriteFileAtomically(path, bytes);
}

}  // namespace dbsp
