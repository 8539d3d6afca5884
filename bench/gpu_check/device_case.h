// SPDX-License-Identifier: Apache-2.0
// Device memory of attention calls: the tensors of a shape, which several kernels may use.
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

/// Memory order of a tensor [batch, heads, tokens, head_dim].
enum class Layout : std::uint8_t {
  kHeadsFirst,  ///< [batch][heads][tokens][head_dim]
  kTokensFirst,  ///< [batch][tokens][heads][head_dim]
  kPadded,  ///< heads first with gaps: 8 elements after each row, 3 rows after each head
};
[[nodiscard]] const char* NameOf(Layout layout);

/// Distances in elements between neighbouring rows, heads and batches, and the total size.
struct Strides {
  std::int64_t token = 0;
  std::int64_t head = 0;
  std::int64_t batch = 0;
  std::int64_t total = 0;
};
[[nodiscard]] Strides StridesOf(Layout layout, int batch, int heads, int tokens, int head_dim);

/// Q, K, V, O and LSE in device memory. The gaps between rows hold NaN, also in the inputs.
class Tensors {
 public:
  /// Fills Q, K and V with normal random values of `seed`.
  /// errors  Error{kUnavailable} when the device has too little memory; nothing stays allocated
  Tensors(const kernels::gpu::AttentionShape& shape,
          Layout layout,
          std::uint64_t seed,
          const runtime::CudaStream& stream);

  /// The call without its lists.
  [[nodiscard]] kernels::gpu::AttentionCall Call() const;
  /// Sets every byte of O and LSE to 0xFF, which is NaN in both types.
  void Poison(const runtime::CudaStream& stream) const;

  /// Copies of O, gaps included, and of LSE.
  struct Output {
    std::vector<std::uint16_t> o;
    std::vector<float> lse;
  };
  [[nodiscard]] Output Read(const runtime::CudaStream& stream) const;
  /// Some rows of O and of LSE. `rows` has the row numbers of ReferenceOnDevice.
  [[nodiscard]] Output ReadRows(std::span<const std::int64_t> rows,
                                const runtime::CudaStream& stream) const;
  /// The rows of O without gaps, [batch][heads][tokens][head_dim].
  [[nodiscard]] std::vector<std::uint16_t> Rows(const Output& output) const;
  /// Number of elements in the gaps of O that no longer hold the poison.
  [[nodiscard]] std::int64_t WrittenBetweenRows(const Output& output) const;
  /// One (batch, head) of an input without gaps. which: 0 = Q, 1 = K, 2 = V.
  [[nodiscard]] std::vector<std::uint16_t> Input(int which,
                                                 int batch,
                                                 int head,
                                                 const runtime::CudaStream& stream) const;

  /// Replaces an input by rows without gaps, [batch][heads][tokens][head_dim]; the gaps keep NaN.
  void SetInput(int which,
                std::span<const std::uint16_t> rows,
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

/// Copies lists to the device in the form that the kernel reads.
/// errors  Error{kInternal} of RequireAscending; those of DeviceLists
[[nodiscard]] kernels::gpu::DeviceLists OnDevice(const kernels::gpu::Variant& variant,
                                                 const Lists& lists,
                                                 const runtime::CudaStream& stream);

/// Tokens and block sizes of one head for a variant.
[[nodiscard]] inline Blocks BlocksOf(const kernels::gpu::Variant& variant,
                                     const kernels::gpu::AttentionShape& shape) {
  return {shape.q_tokens, shape.k_tokens, variant.q_block, variant.k_block};
}

}  // namespace dbsp::gpu_check
