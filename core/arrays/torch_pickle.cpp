// SPDX-License-Identifier: Apache-2.0
// An interpreter of pickles that builds only tensors, numbers, strings and containers.
//
// It runs no code: REDUCE builds a fixed value for each global of a short list and an opaque object
// for any other. One arena owns all values, so that neither nesting nor cycles exhaust the
// stack.
#include <array>
#include <bit>
#include <deque>
#include <limits>
#include <unordered_map>

#include "core/arrays/pickle.h"
#include "core/error.h"

namespace dbsp::pickle {
namespace {

constexpr std::size_t kMaxValues = 4'000'000;  ///< objects in one pickle
constexpr std::size_t kMaxReferences = 8'000'000;  ///< stack entries and container members
constexpr std::size_t kMaxRank = 64;

using Kind = Value::Kind;

class Unpickler {
 public:
  Unpickler(std::string_view pickle, const std::string& origin) : in_(pickle), origin_(origin) {}

  /// Runs to STOP and returns the object.
  Object Run() && {
    while (true) {
      opcode_at_ = at_;
      const auto opcode = static_cast<unsigned char>(Bytes(1)[0]);
      if (opcode == '.') {
        const Value* root = Pop();
        return {std::move(arena_), root};
      }
      if (!Constant(opcode) && !Container(opcode) && !Memory(opcode) && !Call(opcode)) {
        Wrong("unknown opcode 0x{:02x}", opcode);
      }
    }
  }

 private:
  template <typename... Args>
  [[noreturn]] void Wrong(fmt::format_string<Args...> format, Args&&... args) const {
    Fail(ErrorCode::kCorruptInput,
         "{}: pickle byte {}: {}",
         origin_,
         opcode_at_,
         fmt::format(format, std::forward<Args>(args)...));
  }

  // --- input ---
  std::string_view Bytes(std::uint64_t count) {
    if (count > in_.size() - at_) Wrong("ends early");
    const std::string_view bytes = in_.substr(at_, count);
    at_ += count;
    return bytes;
  }
  std::uint64_t Unsigned(int width) {
    const std::string_view bytes = Bytes(static_cast<std::uint64_t>(width));
    std::uint64_t value = 0;
    for (std::size_t i = bytes.size(); i-- > 0;) {
      value = value << 8 | static_cast<unsigned char>(bytes[i]);
    }
    return value;
  }
  std::string_view Line() {
    const std::size_t end = in_.find('\n', at_);
    if (end == std::string_view::npos) Wrong("ends early");
    const std::string_view line = in_.substr(at_, end - at_);
    at_ = end + 1;
    return line;
  }

  // --- stack and arena ---
  Value* Make(Kind kind) {
    if (arena_.size() >= kMaxValues) Wrong("more than {} objects", kMaxValues);
    arena_.emplace_back().kind = kind;
    return &arena_.back();
  }
  void Count(std::size_t references) {
    references_ += references;
    if (references_ > kMaxReferences) Wrong("more than {} references", kMaxReferences);
  }
  void Push(Value* value) {
    Count(1);
    stack_.push_back(value);
  }
  Value* Top() {
    const std::size_t floor = marks_.empty() ? 0 : marks_.back();
    if (stack_.size() <= floor) Wrong("the stack is empty");
    return stack_.back();
  }
  Value* Pop() {
    Value* value = Top();
    stack_.pop_back();
    return value;
  }
  std::vector<const Value*> PopToMark() {
    if (marks_.empty()) Wrong("there is no mark");
    const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<const Value*> items(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return items;
  }
  void PushInt(std::int64_t number) {
    Value* value = Make(Kind::kInt);
    value->number = number;
    Push(value);
  }
  void PushString(std::string_view text) {
    Value* value = Make(Kind::kString);
    value->text = text;
    Push(value);
  }
  void PushTuple(std::size_t count) {
    Value* tuple = Make(Kind::kTuple);
    tuple->items.resize(count);
    for (std::size_t i = count; i-- > 0;) tuple->items[i] = Pop();
    Count(count);
    Push(tuple);
  }
  void PushLong(std::uint64_t width) {
    const std::string_view bytes = Bytes(width);
    if (width > 8) return Push(other_);  // too large to be a size, as a random seed is
    std::uint64_t bits = width > 0 && (bytes.back() & 0x80) != 0 ? ~0ULL : 0;
    for (std::size_t i = bytes.size(); i-- > 0;) {
      bits = bits << 8 | static_cast<unsigned char>(bytes[i]);
    }
    PushInt(static_cast<std::int64_t>(bits));
  }

  // --- opcodes, in four groups; each function returns false for an opcode of another group ---
  bool Constant(unsigned char opcode) {
    switch (opcode) {
      case 0x80:  // PROTO
        if (const std::uint64_t protocol = Unsigned(1); protocol < 2 || protocol > 5) {
          Wrong("protocol {}, expected 2 to 5", protocol);
        }
        return true;
      case 0x95:  // FRAME: a length, not needed
        Unsigned(8);
        return true;
      case 'N':  // NONE
      case 0x88:  // NEWTRUE
      case 0x89:  // NEWFALSE
        Push(other_);
        return true;
      case 'G':  // BINFLOAT
        Bytes(8);
        Push(other_);
        return true;
      case 'K':  // BININT1
        PushInt(static_cast<std::int64_t>(Unsigned(1)));
        return true;
      case 'M':  // BININT2
        PushInt(static_cast<std::int64_t>(Unsigned(2)));
        return true;
      case 'J':  // BININT
        PushInt(static_cast<std::int32_t>(static_cast<std::uint32_t>(Unsigned(4))));
        return true;
      case 0x8a:  // LONG1
        PushLong(Unsigned(1));
        return true;
      case 0x8b:  // LONG4
        PushLong(Unsigned(4));
        return true;
      case 0x8c:  // SHORT_BINUNICODE
      case 'U':  // SHORT_BINSTRING
      case 'C':  // SHORT_BINBYTES
        PushString(Bytes(Unsigned(1)));
        return true;
      case 'X':  // BINUNICODE
      case 'B':  // BINBYTES
      case 'T':  // BINSTRING
        PushString(Bytes(Unsigned(4)));
        return true;
      case 0x8d:  // BINUNICODE8
      case 0x8e:  // BINBYTES8
      case 0x96:  // BYTEARRAY8
        PushString(Bytes(Unsigned(8)));
        return true;
      default:
        return false;
    }
  }

  bool Container(unsigned char opcode) {
    switch (opcode) {
      case '(':  // MARK
        Count(1);
        marks_.push_back(stack_.size());
        return true;
      case ')':  // EMPTY_TUPLE
        PushTuple(0);
        return true;
      case 0x85:  // TUPLE1, TUPLE2, TUPLE3
      case 0x86:
      case 0x87:
        PushTuple(opcode - 0x84U);
        return true;
      case 't': {  // TUPLE
        Value* tuple = Make(Kind::kTuple);
        tuple->items = PopToMark();
        Count(tuple->items.size());
        Push(tuple);
        return true;
      }
      case ']':  // EMPTY_LIST
        Push(Make(Kind::kList));
        return true;
      case '}':  // EMPTY_DICT
        Push(Make(Kind::kDict));
        return true;
      case 'a': {  // APPEND
        const Value* item = Pop();
        Extend(Kind::kList, {item});
        return true;
      }
      case 'e':  // APPENDS
        Extend(Kind::kList, PopToMark());
        return true;
      case 's': {  // SETITEM
        const Value* value = Pop();
        const Value* key = Pop();
        Extend(Kind::kDict, {key, value});
        return true;
      }
      case 'u':  // SETITEMS
        Extend(Kind::kDict, PopToMark());
        return true;
      case 0x8f:  // EMPTY_SET
        PushOpaque("a set holds no array by name; save a dict");
        return true;
      case 0x90:  // ADDITEMS
        Extend(Kind::kOpaque, PopToMark());
        return true;
      case 0x91:  // FROZENSET
        PopToMark();
        PushOpaque("a set holds no array by name; save a dict");
        return true;
      default:
        return false;
    }
  }

  void Extend(Kind kind, const std::vector<const Value*>& items) {
    Value* container = Top();
    if (container->kind == Kind::kOpaque) return;
    if (container->kind != kind) Wrong("items for an object that is not a list or a dict");
    if (kind == Kind::kDict && items.size() % 2 != 0) Wrong("a dict key without a value");
    Count(items.size());
    container->items.insert(container->items.end(), items.begin(), items.end());
  }

  bool Memory(unsigned char opcode) {
    switch (opcode) {
      case '0':  // POP
        Pop();
        return true;
      case '1':  // POP_MARK
        PopToMark();
        return true;
      case '2':  // DUP
        Push(Top());
        return true;
      case 'q':  // BINPUT
        memo_[Unsigned(1)] = Top();
        return true;
      case 'r':  // LONG_BINPUT
        memo_[Unsigned(4)] = Top();
        return true;
      case 0x94: {  // MEMOIZE
        const std::size_t index = memo_.size();
        memo_[index] = Top();
        return true;
      }
      case 'h':  // BINGET
        PushMemo(Unsigned(1));
        return true;
      case 'j':  // LONG_BINGET
        PushMemo(Unsigned(4));
        return true;
      default:
        return false;
    }
  }

  void PushMemo(std::uint64_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) Wrong("memo {} was never set", index);
    Push(found->second);
  }

  bool Call(unsigned char opcode) {
    switch (opcode) {
      case 'c': {  // GLOBAL
        const std::string module(Line());
        PushGlobal(module + "." + std::string(Line()));
        return true;
      }
      case 0x93: {  // STACK_GLOBAL
        const Value* name = Pop();
        const Value* module = Pop();
        if (name->kind != Kind::kString || module->kind != Kind::kString) {
          Wrong("a global whose name is no string");
        }
        PushGlobal(module->text + "." + name->text);
        return true;
      }
      case 'Q':  // BINPERSID
        PushStorage(Pop());
        return true;
      case 0x92:  // NEWOBJ_EX: keyword arguments, which only an opaque object has
        Pop();
        [[fallthrough]];
      case 0x81:  // NEWOBJ
      case 'R': {  // REDUCE
        const Value* arguments = Pop();
        Reduce(Pop(), arguments);
        return true;
      }
      case 'b':  // BUILD: attributes, as an OrderedDict's _metadata; not needed
        Pop();
        if (Top()->kind != Kind::kDict && Top()->kind != Kind::kOpaque) {
          Wrong("attributes for an object that is no OrderedDict");
        }
        return true;
      default:
        return false;
    }
  }

  void PushGlobal(const std::string& name) {
    const std::optional<Known> known = FindGlobal(name);
    if (!known) {
      return PushOpaque(fmt::format("refuses the global '{}', because no code of a file is run: {}",
                                    Printable(name),
                                    AdviceFor(name)));
    }
    if (known->global == Global::kDtype) return Push(other_);
    Value* value = Make(Kind::kGlobal);
    value->global = known->global;
    value->type = known->type;
    Push(value);
  }

  /// An object that cannot be read, and the reason. Arrays beside it can.
  void PushOpaque(std::string_view reason) {
    Value* value = Make(Kind::kOpaque);
    value->text = fmt::format("pickle byte {}: {}", opcode_at_, reason);
    Push(value);
  }
  /// Another object that cannot be read for the reason of `cause`.
  void PushSame(const Value* cause) {
    Push(const_cast<Value*>(cause));
  }  // NOLINT: arena's, mutable

  /// Up to 80 characters of text from the file, without control characters.
  static std::string Printable(std::string_view text) {
    std::string shown;
    for (const char c : text.substr(0, 80)) shown += c >= ' ' && c <= '~' ? c : '?';
    return shown;
  }

  /// ("storage", storage class, key, location, elements)
  void PushStorage(const Value* id) {
    const auto& items = id->items;
    if (id->kind == Kind::kTuple && items.size() > 1 && items[1]->kind == Kind::kOpaque) {
      return PushSame(items[1]);  // a storage of elements that are not read
    }
    const bool legal = id->kind == Kind::kTuple && items.size() == 5 &&
                       items[0]->kind == Kind::kString && items[0]->text == "storage" &&
                       items[1]->kind == Kind::kGlobal && items[1]->global == Global::kStorage &&
                       items[2]->kind == Kind::kString && items[4]->kind == Kind::kInt &&
                       items[4]->number >= 0;
    if (!legal) Wrong("a storage is not described as torch does");
    Value* storage = Make(Kind::kStorage);
    storage->type = items[1]->type;
    storage->text = items[2]->text;
    storage->number = items[4]->number;
    Push(storage);
  }

  void Reduce(const Value* callee, const Value* arguments) {
    if (callee->kind == Kind::kOpaque) return PushSame(callee);
    if (callee->kind != Kind::kGlobal || arguments->kind != Kind::kTuple) {
      Wrong("a call of something that is no known function");
    }
    const auto& items = arguments->items;
    switch (callee->global) {
      case Global::kTensor:
        return PushTensor(items);
      case Global::kParameter:
        if (!items.empty() && items[0]->kind == Kind::kOpaque) return PushSame(items[0]);
        if (items.empty() || items[0]->kind != Kind::kTensor) Wrong("a parameter without tensor");
        return Push(const_cast<Value*>(items[0]));  // NOLINT: the arena owns it, mutable
      case Global::kFromType:  // (function, class, arguments, attributes)
        if (items.size() < 3 ||
            (items[0]->kind == Kind::kGlobal && items[0]->global == Global::kFromType)) {
          Wrong("a tensor of a class is not described as torch does");
        }
        return Reduce(items[0], items[2]);
      case Global::kOrderedDict:
        return PushOrderedDict(items);
      case Global::kDefaultDict:
        return Push(Make(Kind::kDict));
      case Global::kSize: {
        if (items.size() != 1) Wrong("a torch.Size without sizes");
        Value* size = Make(Kind::kTuple);
        size->items = items[0]->items;
        Count(size->items.size());
        return Push(size);
      }
      case Global::kStorage:
      case Global::kDtype:
        Wrong("a call of a storage class");
    }
  }

  void PushOrderedDict(const std::vector<const Value*>& arguments) {
    Value* dict = Make(Kind::kDict);
    for (const Value* pairs : arguments) {
      for (const Value* pair : pairs->items) {
        if (pair->items.size() != 2) Wrong("an OrderedDict of something else than pairs");
        dict->items.insert(dict->items.end(), pair->items.begin(), pair->items.end());
      }
      Count(pairs->items.size() * 2);
    }
    Push(dict);
  }

  /// (storage, offset, size, stride, requires_grad, hooks[, metadata])
  void PushTensor(const std::vector<const Value*>& items) {
    if (!items.empty() && items[0]->kind == Kind::kOpaque) return PushSame(items[0]);
    const auto ints = [](const Value* tuple) {
      bool all = tuple->kind == Kind::kTuple;
      for (const Value* item : tuple->items) all &= item->kind == Kind::kInt;
      return all;
    };
    const bool legal = items.size() >= 4 && items[0]->kind == Kind::kStorage &&
                       items[1]->kind == Kind::kInt && items[1]->number >= 0 && ints(items[2]) &&
                       ints(items[3]) && items[2]->items.size() <= kMaxRank &&
                       items[2]->items.size() == items[3]->items.size();
    if (!legal) Wrong("a tensor is not described as torch does");
    Value* tensor = Make(Kind::kTensor);
    tensor->type = items[0]->type;
    tensor->number = items[1]->number;
    tensor->items = {items[0], items[2], items[3]};
    Push(tensor);
  }

  std::string_view in_;
  const std::string& origin_;
  std::size_t at_ = 0;
  std::size_t opcode_at_ = 0;
  std::deque<Value> arena_;
  /// None, booleans, floats and dtypes, whose values are not needed.
  Value* other_ = &arena_.emplace_back();
  std::vector<Value*> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, Value*> memo_;
  std::size_t references_ = 0;
};

}  // namespace

Object Run(std::string_view pickle, const std::string& origin) {
  return Unpickler(pickle, origin).Run();
}

}  // namespace dbsp::pickle
