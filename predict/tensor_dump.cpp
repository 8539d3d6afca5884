// SPDX-License-Identifier: Apache-2.0
#include "predict/tensor_dump.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/error.h"

namespace dbsp::predict {

TensorDump::TensorDump(const std::filesystem::path& path,
                       TensorRole role,
                       const DumpRequest& request)
    : tensors_(FindTensors(path, request.name, role)),
      files_(OpenArrays(path, tensors_.names)),
      subject_(tensors_.shown.empty()
                   ? path.string()
                   : fmt::format("{}: array '{}'", path.string(), tensors_.shown)) {
  for (const ArrayFile& file : files_) {
    if (file.shape() == files_.front().shape() && file.type() == files_.front().type()) continue;
    Fail(ErrorCode::kMismatch,
         "{}: array '{}' is {} {}, but '{}' is {} {}; expected equal types and shapes",
         path.string(),
         file.name(),
         NameOf(file.type()),
         ShapeText(file.shape()),
         files_.front().name(),
         NameOf(files_.front().type()),
         ShapeText(files_.front().shape()));
  }
  const ArrayType type = files_.front().type();
  if (type != ArrayType::kF2 && type != ArrayType::kBf16 && type != ArrayType::kF4 &&
      type != ArrayType::kF8) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: type {}, expected f2, bf16, f4 or f8",
         subject_,
         NameOf(type));
  }
  shape_ = tensors_.grid;
  shape_.insert(shape_.end(), files_.front().shape().begin(), files_.front().shape().end());
  ResolveAxes(request);
  if (std::ranges::find(shape_, 0) != shape_.end()) {
    Fail(ErrorCode::kInvalidArgument, "{}: shape {} is empty", subject_, ShapeText(shape_));
  }
  batch_ = request.batch.value_or(0);
  if (!request.batch && Size('B') > 1) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: shape {}: axis B has {} entries; choose one with --batch",
         subject_,
         ShapeText(shape_),
         Size('B'));
  }
  if (batch_ >= Size('B')) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: --batch {}: expected less than {}, the size of axis B",
         subject_,
         batch_,
         Size('B'));
  }
}

TensorDump::~TensorDump() = default;

std::int64_t TensorDump::Size(char letter) const {
  const std::size_t at = letters_.find(letter);
  return at == std::string::npos ? 1 : shape_[at];
}

void TensorDump::CheckAxes(const std::string& letters) const {
  const bool heads = letters.find('H') != std::string::npos;
  bool good =
      letters.size() == shape_.size() &&
      (letters.ends_with("HSD") || letters.ends_with("SHD") || (letters.ends_with("SD") && !heads));
  for (const char letter : letters) {
    good = good && std::string("TLBHSD").find(letter) != std::string::npos &&
           std::ranges::count(letters, letter) == 1;
  }
  const std::size_t numbered = tensors_.letters.size();
  good = good && letters.find_first_of("HSD") >= numbered;
  if (good) return;
  Fail(
      ErrorCode::kInvalidArgument,
      "--axes {}: expected {} different letters of TLBHSD for shape {} of {}, ending with HSD, SHD "
      "or SD",
      letters,
      shape_.size(),
      ShapeText(shape_),
      subject_);
}

/// "HSD" or "SHD", by the sizes of the model or because a sequence is longer than the heads are
/// many; "SD" for two dimensions.
std::string TensorDump::TailOf(const DumpRequest& request) const {
  const std::size_t own = shape_.size() - tensors_.letters.size();
  if (own == 2) return "SD";
  const std::int64_t first = shape_[shape_.size() - 3];
  const std::int64_t second = shape_[shape_.size() - 2];
  const auto fits = [&](std::int64_t heads, std::int64_t tokens) {
    return heads == request.heads.value_or(heads) && tokens == request.tokens.value_or(tokens);
  };
  const bool hsd = fits(first, second);
  const bool shd = fits(second, first);
  if (hsd != shd) return hsd ? "HSD" : "SHD";
  if (!hsd) {
    Fail(ErrorCode::kMismatch,
         "{}: shape {}, expected {} heads and {} tokens before the head dimension",
         subject_,
         ShapeText(shape_),
         request.heads ? std::to_string(*request.heads) : "any",
         request.tokens ? std::to_string(*request.tokens) : "any");
  }
  if (first == second) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: shape {}: heads and tokens are equal; name the axes, as --axes {}",
         subject_,
         ShapeText(shape_),
         std::string(shape_.size() - 3, 'B') + "HSD");
  }
  return first < second ? "HSD" : "SHD";
}

void TensorDump::ResolveAxes(const DumpRequest& request) {
  if (request.axes) {
    CheckAxes(*request.axes);
    letters_ = *request.axes;
    return;
  }
  if (files_.front().shape().size() < 2) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: shape {}, expected at least [tokens, head dimension]",
         subject_,
         ShapeText(shape_));
  }
  const std::string tail = TailOf(request);
  std::string letters = tensors_.letters;
  letters += std::string(shape_.size() - tail.size() - letters.size(), '?');
  std::vector<std::size_t> open;  // axes without a letter
  for (std::size_t i = 0; i < letters.size(); ++i) {
    if (letters[i] == '?') open.push_back(i);
  }
  const bool has_step = letters.find('T') != std::string::npos;
  const bool has_layer = letters.find('L') != std::string::npos;
  const bool pair = open.size() == 2 && !has_step && !has_layer;
  const bool layers_first = pair && shape_[open[1]] == 1 && request.layers && *request.layers > 1 &&
                            *request.layers == shape_[open[0]];
  if (pair && !layers_first) {
    letters[open[0]] = 'T';
    letters[open[1]] = 'L';
    open.clear();
  }
  // The last axis of size 1 behind the numbers is the batch.
  for (std::size_t i = open.size(); i-- > 0;) {
    if (shape_[open[i]] != 1 || open[i] < tensors_.letters.size()) continue;
    letters[open[i]] = 'B';
    open.erase(open.begin() + static_cast<std::ptrdiff_t>(i));
    break;
  }
  if (open.size() == 2 && !has_step && !has_layer) {
    letters[open[0]] = 'T';
    letters[open[1]] = 'L';
  } else if (open.size() == 1) {
    const std::int64_t size = shape_[open[0]];
    const bool step = !has_step && size == request.steps.value_or(has_layer ? size : -1);
    const bool layer = !has_layer && size == request.layers.value_or(has_step ? size : -1);
    if (step != layer) letters[open[0]] = step ? 'T' : 'L';
  }
  if (letters.find('?') != std::string::npos) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: shape {}: its axes may be {}{} with steps (T), layers (L) or a batch (B) for '?'; "
         "name "
         "them with --axes, or give --steps and --layers",
         subject_,
         ShapeText(shape_),
         letters,
         tail);
  }
  letters_ = letters + tail;
}

std::string TensorDump::Text() const {
  return fmt::format(
      "{}: {} {}, axes {}", subject_, NameOf(files_.front().type()), ShapeText(shape_), letters_);
}

std::vector<float> TensorDump::Head(std::int64_t time,
                                    std::int64_t layer,
                                    std::int64_t head) const {
  std::vector<std::int64_t> index;  // of the axes before H, S and D
  for (const char letter : letters_) {
    if (letter == 'H' || letter == 'S' || letter == 'D') break;
    index.push_back(letter == 'T' ? time : letter == 'L' ? layer : batch_);
  }
  const std::size_t numbered = tensors_.grid.size();
  std::size_t file = 0;
  for (std::size_t i = 0; i < numbered; ++i) file = file * shape_[i] + index[i];
  std::vector<std::int64_t> inner(index.begin() + static_cast<std::ptrdiff_t>(numbered),
                                  index.end());
  const bool by_tokens = letters_.ends_with("SHD");
  const bool one = !by_tokens && letters_.find('H') == std::string::npos;
  if (!by_tokens && !one) inner.push_back(head);
  index.push_back(by_tokens ? 0 : head);
  if (kept_index_ != index) {
    kept_ = {};
    kept_ = files_[file].Slice(inner);
    kept_index_ = index;
  }
  const std::int64_t tokens = Size('S');
  const std::int64_t dim = Size('D');
  const std::int64_t stride = by_tokens ? Size('H') * dim : dim;
  const std::int64_t begin = by_tokens ? head * dim : 0;
  std::vector<float> values(static_cast<std::size_t>(tokens * dim));
  for (std::int64_t s = 0; s < tokens; ++s) {
    for (std::int64_t d = 0; d < dim; ++d) {
      const auto value = static_cast<float>(kept_.Double(begin + s * stride + d));
      values[static_cast<std::size_t>(s * dim + d)] = value;
      if (std::isfinite(value)) continue;
      Fail(ErrorCode::kCorruptInput,
           "{}: step entry {}, layer {}, head {}, token {}, channel {} is {}, expected a finite "
           "number of 32 bits; check the dump",
           subject_,
           time,
           layer,
           head,
           s,
           d,
           kept_.Double(begin + s * stride + d));
    }
  }
  return values;
}

}  // namespace dbsp::predict
