// SPDX-License-Identifier: Apache-2.0
#include "bench/gpu_check/device_case.h"

#include <algorithm>
#include <span>

#include "bench/gpu_check/device_data.h"

namespace dbsp::gpu_check {
namespace {

using kernels::gpu::AttentionCall;
using kernels::gpu::AttentionShape;
using kernels::gpu::TensorView;
using runtime::CudaBuffer;
using runtime::CudaStream;

constexpr std::uint16_t kPoison = 0xFFFF;  ///< a bf16 NaN, and a float NaN in pairs

std::size_t Bytes(std::int64_t elements, std::size_t element) {
  return static_cast<std::size_t>(elements) * element;
}

/// First element of row (batch, head, token) in a tensor's memory.
std::int64_t RowOffset(const Strides& strides, int batch, int head, int token) {
  return batch * strides.batch + head * strides.head + token * strides.token;
}

}  // namespace

const char* NameOf(Layout layout) {
  switch (layout) {
    case Layout::kHeadsFirst:
      return "heads first";
    case Layout::kTokensFirst:
      return "tokens first";
    case Layout::kPadded:
      return "padded";
  }
  return "";
}

Strides StridesOf(Layout layout, int batch, int heads, int tokens, int head_dim) {
  const std::int64_t dim = head_dim;
  Strides strides;
  if (layout == Layout::kTokensFirst) {
    strides = {heads * dim, dim, heads * dim * tokens, 0};
  } else {
    const std::int64_t gap = layout == Layout::kPadded ? 8 : 0;
    const std::int64_t rows = tokens + (layout == Layout::kPadded ? 3 : 0);
    strides = {dim + gap, (dim + gap) * rows, (dim + gap) * rows * heads, 0};
  }
  strides.total = strides.batch * batch;
  return strides;
}

Tensors::Tensors(const AttentionShape& shape,
                 Layout layout,
                 std::uint64_t seed,
                 const CudaStream& stream)
    : shape_(shape),
      q_strides_(StridesOf(layout, shape.batch, shape.heads, shape.q_tokens, shape.head_dim)),
      k_strides_(StridesOf(layout, shape.batch, shape.heads, shape.k_tokens, shape.head_dim)),
      q_(Bytes(q_strides_.total, 2), "queries"),
      k_(Bytes(k_strides_.total, 2), "keys"),
      v_(Bytes(k_strides_.total, 2), "values"),
      o_(Bytes(q_strides_.total, 2), "outputs"),
      lse_(Bytes(std::int64_t{shape.batch} * shape.heads * shape.q_tokens, 4), "log-sum-exp") {
  for (const CudaBuffer* buffer : {&q_, &k_, &v_}) buffer->Fill(0xFF, stream);
  const auto fill = [&](const CudaBuffer& buffer, const Strides& strides, int tokens, int which) {
    FillNormal(View(buffer, strides),
               shape.batch,
               shape.heads,
               tokens,
               shape.head_dim,
               3 * seed + static_cast<std::uint64_t>(which),
               stream.get());
  };
  fill(q_, q_strides_, shape.q_tokens, 0);
  fill(k_, k_strides_, shape.k_tokens, 1);
  fill(v_, k_strides_, shape.k_tokens, 2);
  Poison(stream);
}

TensorView Tensors::View(const CudaBuffer& buffer, const Strides& strides) const {
  return {buffer.data(), strides.batch, strides.head, strides.token};
}

AttentionCall Tensors::Call() const {
  AttentionCall call;
  call.shape = shape_;
  call.q = View(q_, q_strides_);
  call.k = View(k_, k_strides_);
  call.v = View(v_, k_strides_);
  call.o = View(o_, q_strides_);
  call.lse = lse_.As<float>();
  return call;
}

void Tensors::Poison(const CudaStream& stream) const {
  o_.Fill(0xFF, stream);
  lse_.Fill(0xFF, stream);
}

Tensors::Output Tensors::Read(const CudaStream& stream) const {
  Output output;
  output.o.resize(o_.bytes() / 2);
  output.lse.resize(lse_.bytes() / 4);
  o_.Download(output.o.data(), o_.bytes(), stream);
  lse_.Download(output.lse.data(), lse_.bytes(), stream);
  return output;
}

Tensors::Output Tensors::ReadRows(std::span<const std::int64_t> rows,
                                  const CudaStream& stream) const {
  const auto dim = static_cast<std::size_t>(shape_.head_dim);
  Output output;
  output.o.resize(rows.size() * dim);
  output.lse.resize(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::int64_t plane = rows[i] / shape_.q_tokens;
    const std::int64_t at = RowOffset(q_strides_,
                                      static_cast<int>(plane / shape_.heads),
                                      static_cast<int>(plane % shape_.heads),
                                      static_cast<int>(rows[i] % shape_.q_tokens));
    o_.Download(&output.o[i * dim], 2 * dim, stream, Bytes(at, 2));
    lse_.Download(&output.lse[i], 4, stream, Bytes(rows[i], 4));
  }
  return output;
}

std::vector<std::uint16_t> Tensors::Rows(const Output& output) const {
  std::vector<std::uint16_t> rows;
  rows.reserve(output.lse.size() * static_cast<std::size_t>(shape_.head_dim));
  for (int batch = 0; batch < shape_.batch; ++batch) {
    for (int head = 0; head < shape_.heads; ++head) {
      for (int token = 0; token < shape_.q_tokens; ++token) {
        const auto* row = output.o.data() + RowOffset(q_strides_, batch, head, token);
        rows.insert(rows.end(), row, row + shape_.head_dim);
      }
    }
  }
  return rows;
}

std::int64_t Tensors::WrittenBetweenRows(const Output& output) const {
  std::vector<bool> row(output.o.size(), false);
  for (int batch = 0; batch < shape_.batch; ++batch) {
    for (int head = 0; head < shape_.heads; ++head) {
      for (int token = 0; token < shape_.q_tokens; ++token) {
        const auto first = row.begin() + RowOffset(q_strides_, batch, head, token);
        std::fill(first, first + shape_.head_dim, true);
      }
    }
  }
  std::int64_t written = 0;
  for (std::size_t i = 0; i < row.size(); ++i) {
    written += !row[i] && output.o[i] != kPoison ? 1 : 0;
  }
  return written;
}

void Tensors::SetInput(int which,
                       std::span<const std::uint16_t> rows,
                       const CudaStream& stream) const {
  const CudaBuffer& buffer = which == 0 ? q_ : which == 1 ? k_ : v_;
  const Strides& strides = which == 0 ? q_strides_ : k_strides_;
  const int tokens = which == 0 ? shape_.q_tokens : shape_.k_tokens;
  const auto dim = static_cast<std::size_t>(shape_.head_dim);
  std::vector<std::uint16_t> all(buffer.bytes() / 2, kPoison);
  const std::uint16_t* row = rows.data();
  for (int batch = 0; batch < shape_.batch; ++batch) {
    for (int head = 0; head < shape_.heads; ++head) {
      for (int token = 0; token < tokens; ++token, row += dim) {
        std::copy_n(row, dim, all.data() + RowOffset(strides, batch, head, token));
      }
    }
  }
  buffer.Upload(all.data(), buffer.bytes(), stream);
}

kernels::gpu::DeviceLists OnDevice(const kernels::gpu::Variant& variant,
                                   const Lists& lists,
                                   const CudaStream& stream) {
  RequireAscending(lists, variant.list == kernels::gpu::ListKind::kKeys);
  return {variant, lists.q_blocks, lists.begin, lists.list, stream};
}

std::vector<std::uint16_t> Tensors::Input(int which,
                                          int batch,
                                          int head,
                                          const CudaStream& stream) const {
  const CudaBuffer& buffer = which == 0 ? q_ : which == 1 ? k_ : v_;
  const Strides& strides = which == 0 ? q_strides_ : k_strides_;
  const int tokens = which == 0 ? shape_.q_tokens : shape_.k_tokens;
  std::vector<std::uint16_t> all(buffer.bytes() / 2);
  buffer.Download(all.data(), buffer.bytes(), stream);
  std::vector<std::uint16_t> rows;
  for (int token = 0; token < tokens; ++token) {
    const auto* row = all.data() + RowOffset(strides, batch, head, token);
    rows.insert(rows.end(), row, row + shape_.head_dim);
  }
  return rows;
}

}  // namespace dbsp::gpu_check
