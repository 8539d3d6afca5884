// SPDX-License-Identifier: Apache-2.0
// The functions and classes that a checkpoint's pickle may name, and what to do about others.
#include <array>

#include "core/arrays/pickle.h"
#include "core/error.h"

namespace dbsp::pickle {
namespace {

struct Row {
  std::string_view name;
  Known known;
};
constexpr std::array<Row, 16> kGlobals{{
    {"torch._utils._rebuild_tensor_v2", {Global::kTensor}},
    {"torch._utils._rebuild_parameter", {Global::kParameter}},
    {"torch._tensor._rebuild_from_type_v2", {Global::kFromType}},
    {"collections.OrderedDict", {Global::kOrderedDict}},
    {"collections.defaultdict", {Global::kDefaultDict}},
    {"torch.Size", {Global::kSize}},
    {"torch.BoolStorage", {Global::kStorage, ArrayType::kB1}},
    {"torch.ByteStorage", {Global::kStorage, ArrayType::kU1}},
    {"torch.CharStorage", {Global::kStorage, ArrayType::kI1}},
    {"torch.ShortStorage", {Global::kStorage, ArrayType::kI2}},
    {"torch.IntStorage", {Global::kStorage, ArrayType::kI4}},
    {"torch.LongStorage", {Global::kStorage, ArrayType::kI8}},
    {"torch.HalfStorage", {Global::kStorage, ArrayType::kF2}},
    {"torch.BFloat16Storage", {Global::kStorage, ArrayType::kBf16}},
    {"torch.FloatStorage", {Global::kStorage, ArrayType::kF4}},
    {"torch.DoubleStorage", {Global::kStorage, ArrayType::kF8}},
}};
/// Element types that appear as plain values in checkpoints. They are read and ignored.
constexpr std::array<std::string_view, 10> kDtypes{"torch.bool",
                                                   "torch.uint8",
                                                   "torch.int8",
                                                   "torch.int16",
                                                   "torch.int32",
                                                   "torch.int64",
                                                   "torch.float16",
                                                   "torch.bfloat16",
                                                   "torch.float32",
                                                   "torch.float64"};

/// What a writer of the file can save in place of an object of this global.
struct Advice {
  std::string_view part;  ///< of the global's name
  std::string_view text;
};
constexpr std::string_view kOtherElements =
    "elements of this type are not read (known: bool, uint8, int8, int16, int32, int64, float16, "
    "bfloat16, float32, float64); save a mask as x.to(torch.uint8)";
constexpr std::array<Advice, 7> kAdvice{{
    {".BlockMask",
     "save its tensors: torch.save({'kv_num_blocks': m.kv_num_blocks, 'kv_indices': m.kv_indices, "
     "'full_kv_num_blocks': m.full_kv_num_blocks, 'full_kv_indices': m.full_kv_indices}, file), or "
     "m.to_dense()"},
    {"_rebuild_sparse", "save x.to_dense()"},
    {"_rebuild_qtensor", "save x.int_repr()"},
    {"multiarray", "save numpy arrays with numpy.save or numpy.savez"},
    {"numpy", "save numpy arrays with numpy.save or numpy.savez"},
    {"_rebuild_tensor_v3", kOtherElements},
    {"Storage", kOtherElements},
}};

}  // namespace

std::optional<Known> FindGlobal(std::string_view name) {
  for (const Row& row : kGlobals) {
    if (name == row.name) return row.known;
  }
  for (const std::string_view dtype : kDtypes) {
    if (name == dtype) return Known{Global::kDtype};
  }
  return std::nullopt;
}

std::string_view AdviceFor(std::string_view name) {
  for (const Advice& advice : kAdvice) {
    if (name.find(advice.part) != std::string_view::npos) return advice.text;
  }
  return "save plain tensors, in dicts, lists or tuples";
}

}  // namespace dbsp::pickle
