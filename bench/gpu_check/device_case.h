// SPDX-License-Identifier: Apache-2.0
// Device memory of one attention call: tensors of a shape, which several kernels may share.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "bench/gpu_check/lists.h"
#include "kernels/gpu/attention.h"
#include "kernels/gpu/device_lists.h"
#include "runtime/cuda/cuda_buffer.h"
#include "runtime/cuda/cuda_stream.h"

namespace dbsp::gpu_check {

/// How [batch, heads, tokens, head_dim] lie in memory.
enum class Layout : std::uint8_t {
  kHeadsFirst,  ///< [batch][heads][tokens][head_dim]
  kTokensFirst,  ///< [batch][tokens][heads][head_dim]
  kPadded,  ///< heads first, 8 elements between rows and 3 rows between heads
};
[[nodiscard]] const char* NameOf(Layout layout);

/// Elements from one row, head and batch to the next, and of the whole.
struct Strides {
  std::int64_t token = 0;
  std::int64_t head = 0;
  std::int64_t batch = 0;
  std::int64_t total = 0;
};
[[nodiscard]] Strides StridesOf(Layout layout, int batch, int heads, int tokens, int head_dim);

/// Q, K, V, O and LSE. Memory between rows is NaN, in the inputs as in the outputs.
class Tensors {
 public:
  /// errors  Error{kUnavailable} when the device has too little memory, and then holds nothing
  Tensors(const kernels::gpu::AttentionShape& shape,
          Layout layout,
          std::uint64_t seed,
          const runtime::CudaStream& stream);

  /// The call but for its lists.
  [[nodiscard]] kernels::gpu::AttentionCall Call() const;
  /// Makes every byte of O and LSE 0xFF: NaN in both.
  void Poison(const runtime::CudaStream& stream) const;

  /// O and LSE as they lie in memory.
  struct Output {
    std::vector<std::uint16_t> o;
    std::vector<float> lse;
  };
  [[nodiscard]] Output Read(const runtime::CudaStream& stream) const;
  /// Some rows of O and of LSE, numbered as ReferenceOnDevice numbers them.
  [[nodiscard]] Output ReadRows(std::span<const std::int64_t> rows,
                                const runtime::CudaStream& stream) const;
  /// O's rows without what lies between them, [batch][heads][tokens][head_dim].
  [[nodiscard]] std::vector<std::uint16_t> Rows(const Output& output) const;
  /// Elements between O's rows that are no longer poison.
  [[nodiscard]] std::int64_t WrittenBetweenRows(const Output& output) const;
  /// One (batch, head) of an input, rows together: 0 = Q, 1 = K, 2 = V.
  [[nodiscard]] std::vector<std::uint16_t> Input(int which,
                                                 int batch,
                                                 int head,
                                                 const runtime::CudaStream& stream) const;

 private:
  [[nodiscard]] kernels::gpu::TensorView View(const runtime::CudaBuffer& buffer,
                                              const Strides& strides) const;
  kernels::gpu::AttentionShape shape_;
  Strides q_strides_;
  Strides k_strides_;
  runtime::CudaBuffer q_;
  runtime::CudaBuffer k_;
  runtime::CudaBuffer v_;
  runtime::CudaBuffer o_;
  runtime::CudaBuffer lse_;
};

/// A kernel's lists on the device.
[[nodiscard]] inline kernels::gpu::DeviceLists OnDevice(const kernels::gpu::Variant& variant,
                                                        const Lists& lists,
                                                        const runtime::CudaStream& stream) {
  return {variant, lists.q_blocks, lists.begin, lists.list, stream};
}

/// The geometry of a variant's lists over a shape.
[[nodiscard]] inline Blocks BlocksOf(const kernels::gpu::Variant& variant,
                                     const kernels::gpu::AttentionShape& shape) {
  return {shape.q_tokens, shape.k_tokens, variant.q_block, variant.k_block};
}

}  // namespace dbsp::gpu_check
