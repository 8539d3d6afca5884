// SPDX-License-Identifier: Apache-2.0
// Description of one tensor for the tensor memory accelerator (TMA): rank 4, bf16, 128-byte
// swizzle. Out-of-bounds rows are read as 0 and not written. It is plain data, so that tests and
// the emulator use the map of a launch; tensor_map_encode.h converts it to the driver's format.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/gpu/attention.h"

namespace dbsp::kernels::gpu {

/// Axes: channel, token, head, batch. Channels are contiguous. A box is 64 channels (128 bytes, the
/// maximum for a 128-byte swizzle) by box_rows tokens.
struct TensorMapSpec {
  void* data = nullptr;
  std::array<std::uint64_t, 4> extents{};
  std::array<std::uint64_t, 3> strides{};  ///< bytes; token, head, batch
  std::array<std::uint32_t, 4> box{};
};

constexpr int kBoxChannels = 64;

/// requires  a view that passed CheckCall, 1 <= box_rows <= 256
inline TensorMapSpec SpecOf(const TensorView& view,
                            const AttentionShape& shape,
                            int tokens,
                            int box_rows) {
  constexpr std::uint64_t kElement = 2;
  // A view may have any stride on an axis of extent 1, but the driver checks it.
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
