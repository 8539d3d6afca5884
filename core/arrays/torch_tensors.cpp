// SPDX-License-Identifier: Apache-2.0
// Collects the tensors of the object of a checkpoint and names each by its path.
#include "core/arrays/array_entry.h"
#include "core/arrays/pickle.h"
#include "core/error.h"

namespace dbsp {
namespace {

using pickle::Value;
using Kind = Value::Kind;

constexpr int kMaxDepth = 32;  ///< nesting of containers that hold tensors
constexpr std::size_t kMaxVisits = 1'000'000;  ///< a shared container is visited once per path
constexpr std::size_t kMaxNameBytes = 1 << 26;  ///< of the names of all tensors

/// Walks containers and collects tensors by path.
class Collector {
 public:
  explicit Collector(const std::string& origin) : origin_(origin) {}

  void Visit(const Value* value, const std::string& name, int depth) {
    name_bytes_ += name.size();
    if (depth > kMaxDepth || ++visits_ > kMaxVisits || name_bytes_ > kMaxNameBytes) {
      Fail(ErrorCode::kCorruptInput,
           "{}: pickle: objects are nested more than {} deep, more than {} in number "
           "or have names of more than {} bytes",
           origin_,
           kMaxDepth,
           kMaxVisits,
           kMaxNameBytes);
    }
    const std::string prefix = name.empty() ? "" : name + ".";
    if (value->kind == Kind::kTensor) {
      Add(*value, name);
    } else if (value->kind == Kind::kOpaque) {
      PickledTensor unread;
      unread.name = name;
      unread.problem =
          fmt::format("{}: {}{}", origin_, name.empty() ? "" : "'" + name + "': ", value->text);
      tensors.push_back(std::move(unread));
    } else if (value->kind == Kind::kDict) {
      for (std::size_t i = 0; i + 1 < value->items.size(); i += 2) {
        const std::string key = KeyText(*value->items[i]);
        Visit(value->items[i + 1],
              prefix + (key.empty() ? fmt::format("#{}", i / 2) : key),
              depth + 1);
      }
    } else if (value->kind == Kind::kList || value->kind == Kind::kTuple) {
      for (std::size_t i = 0; i < value->items.size(); ++i) {
        Visit(value->items[i], prefix + std::to_string(i), depth + 1);
      }
    }
  }
  std::vector<PickledTensor> tensors;

 private:
  /// A key of a dict: a string, an integer, or a tuple of them joined by dots. "" for another key,
  /// which is named by its position.
  static std::string KeyText(const Value& key) {
    if (key.kind == Kind::kString) return key.text;
    if (key.kind == Kind::kInt) return std::to_string(key.number);
    std::string text;
    if (key.kind != Kind::kTuple) return text;
    for (const Value* part : key.items) {
      if (part->kind != Kind::kString && part->kind != Kind::kInt) return "";
      if (!text.empty()) text += '.';
      text += KeyText(*part);
    }
    return text;
  }

  void Add(const Value& value, const std::string& name) {
    const Value& storage = *value.items[0];
    PickledTensor tensor{name, value.type, storage.text, storage.number, value.number, {}, {}, {}};
    for (const Value* size : value.items[1]->items) tensor.shape.push_back(size->number);
    for (const Value* stride : value.items[2]->items) tensor.strides.push_back(stride->number);
    tensors.push_back(std::move(tensor));
  }
  const std::string& origin_;
  std::size_t visits_ = 0;
  std::size_t name_bytes_ = 0;
};

}  // namespace

std::vector<PickledTensor> TensorsOfPickle(std::string_view pickle, const std::string& origin) {
  const pickle::Object object = pickle::Run(pickle, origin);
  Collector collector(origin);
  collector.Visit(object.root, "", 0);
  return std::move(collector.tensors);
}

}  // namespace dbsp
