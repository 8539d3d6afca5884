// SPDX-License-Identifier: Apache-2.0
// What the tensor memory accelerator (TMA) is told of one tensor: rank 4, bf16, 128-byte swizzle,
// rows out of bounds read as 0 and not written. Plain data, so that tests and the emulator see the
// map a launch would use; tensor_map_encode.h turns it into the driver's form.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/gpu/attention.h"

namespace dbsp::kernels::gpu {

/// Axes: channel, token, head, batch. Channels are contiguous; a box is 64 of them, 128 bytes, the
/// widest a 128-byte swizzle takes, by box_rows tokens.
struct TensorMapSpec {
  void* data = nullptr;
  std::array<std::uint64_t, 4> extents{};
  std::array<std::uint64_t, 3> strides{};  ///< bytes, of token, head, batch
  std::array<std::uint32_t, 4> box{};
};

constexpr int kBoxChannels = 64;

/// requires  a view that CheckCall lets pass, 1 <= box_rows <= 256
inline TensorMapSpec SpecOf(const TensorView& view,
                            const AttentionShape& shape,
                            int tokens,
                            int box_rows) {
  constexpr std::uint64_t kElement = 2;
  // The stride of an axis of extent 1 is free in a view, but the driver checks it all the same.
  const auto bytes = [&](std::int64_t stride, int extent) {
    return kElement * static_cast<std::uint64_t>(extent == 1 ? shape.head_dim : stride);
  };
  return {view.data,
          {static_cast<std::uint64_t>(shape.head_dim),
           static_cast<std::uint64_t>(tokens),
           static_cast<std::uint64_t>(shape.heads),
           static_cast<std::uint64_t>(shape.batch)},
          {bytes(view.token_stride, tokens),
           bytes(view.head_stride, shape.heads),
           bytes(view.batch_stride, shape.batch)},
          {kBoxChannels, static_cast<std::uint32_t>(box_rows), 1, 1}};
}

}  // namespace dbsp::kernels::gpu
