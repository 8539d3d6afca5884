// SPDX-License-Identifier: Apache-2.0
// .pt/.pth: a zip archive ROOT/{data.pkl, data/0, data/1, ..., byteorder}.
#include <map>

#include "core/arrays/array_entry.h"
#include "core/error.h"

namespace dbsp {
namespace {

/// Far above the pickle of any checkpoint, which takes about 100 bytes per tensor.
constexpr std::int64_t kMaxPickleBytes = 1 << 24;

struct Checkpoint {
  std::string pickle;
  bool big_endian = false;
  std::map<std::string, ZipMember> storages;
};

Checkpoint OpenCheckpoint(const std::filesystem::path& path) {
  const std::string origin = path.string();
  const ByteSourcePtr file = OpenFile(path);
  if (file->size() < 4 || !file->Read(0, 2).starts_with("PK")) {
    Fail(ErrorCode::kCorruptInput,
         "{}: not a zip checkpoint; save it again with torch.save of torch 1.6 or later",
         origin);
  }
  std::vector<ZipMember> members = OpenZip(path);
  std::string root;
  Checkpoint checkpoint;
  for (const ZipMember& member : members) {
    constexpr std::string_view kPickle = "data.pkl";
    const std::size_t slash = member.name.find('/');
    if (slash == std::string::npos || member.name.substr(slash + 1) != kPickle) continue;
    if (!member.problem.empty()) throw Error(ErrorCode::kCorruptInput, member.problem);
    if (member.bytes->size() > kMaxPickleBytes) {
      Fail(ErrorCode::kCorruptInput, "{}: data.pkl has {} bytes", origin, member.bytes->size());
    }
    root = member.name.substr(0, slash + 1);
    checkpoint.pickle = member.bytes->Read(0, member.bytes->size());
    break;
  }
  if (root.empty()) Fail(ErrorCode::kCorruptInput, "{}: has no member data.pkl", origin);
  for (ZipMember& member : members) {
    if (!member.name.starts_with(root)) continue;
    const std::string name = member.name.substr(root.size());
    if (name.starts_with("data/")) {
      checkpoint.storages[name.substr(5)] = std::move(member);
      continue;
    }
    if (name == "byteorder" && member.bytes && member.bytes->size() <= 8) {
      const std::string order = member.bytes->Read(0, member.bytes->size());
      if (order != "little" && order != "big") {
        Fail(ErrorCode::kCorruptInput, "{}: byteorder is neither little nor big", origin);
      }
      checkpoint.big_endian = order == "big";
    }
  }
  return checkpoint;
}

/// Finds the storage of a tensor and turns the offset of `entry` into bytes.
void Locate(const PickledTensor& tensor,
            const Checkpoint& checkpoint,
            const std::string& origin,
            ArrayEntry& entry) {
  const auto storage = checkpoint.storages.find(tensor.storage);
  if (storage == checkpoint.storages.end()) {
    Fail(ErrorCode::kCorruptInput,
         "{}: array '{}': its storage data/{} is missing",
         origin,
         entry.info.name,
         tensor.storage);
  }
  if (!storage->second.problem.empty()) {
    throw Error(ErrorCode::kCorruptInput, storage->second.problem);
  }
  const std::int64_t width = BytesOf(tensor.type);
  const std::int64_t size = storage->second.bytes->size();
  if (tensor.storage_elements > size / width || tensor.offset > tensor.storage_elements) {
    Fail(ErrorCode::kCorruptInput,
         "{}: array '{}': storage data/{} has {} bytes, expected {} elements of {}",
         origin,
         entry.info.name,
         tensor.storage,
         size,
         tensor.storage_elements,
         NameOf(tensor.type));
  }
  entry.offset = tensor.offset * width;
  entry.source = storage->second.bytes;
  CheckEntry(entry, origin);
}

}  // namespace

std::vector<ArrayEntry> TorchEntries(const std::filesystem::path& path) {
  const std::string origin = path.string();
  const Checkpoint checkpoint = OpenCheckpoint(path);
  std::vector<ArrayEntry> entries;
  for (PickledTensor& tensor : TensorsOfPickle(checkpoint.pickle, origin)) {
    ArrayEntry entry;
    entry.info = {std::move(tensor.name), tensor.type, std::move(tensor.shape)};
    entry.info.problem = std::move(tensor.problem);
    if (entry.info.problem.empty()) {
      entry.strides = std::move(tensor.strides);
      entry.offset = tensor.offset;
      entry.swapped = checkpoint.big_endian;
      KeepProblem(entry, [&] { Locate(tensor, checkpoint, origin, entry); });
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace dbsp
