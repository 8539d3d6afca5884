// SPDX-License-Identifier: Apache-2.0
// Lists of an AttentionCall in device memory: offsets, lists, the order of tiles, and the tile
// counter of a persistent launch.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/gpu/attention.h"
#include "runtime/cuda/cuda_buffer.h"
#include "runtime/cuda/cuda_stream.h"

namespace dbsp::kernels::gpu {

/// Lists of one variant on the current device. Calls on one stream may share an object. Calls that
/// may run concurrently must not, because each uses the tile counter.
class DeviceLists {
 public:
  /// Copies the lists to the device and waits for the copies.
  /// q_blocks  query blocks of one head
  /// begin     [tiles + 1] into list; tiles = batch * heads * q_blocks
  /// list      as AttentionCall::list
  /// errors    Error{kInvalidArgument} of TileOrder; Error{kUnavailable} when the device has too
  ///           little memory
  /// owns      copies; keeps no reference
  DeviceLists(const Variant& variant,
              int q_blocks,
              std::span<const std::int32_t> begin,
              std::span<const std::int32_t> list,
              const runtime::CudaStream& stream);

  /// `call` with these lists and `stream` filled in.
  [[nodiscard]] AttentionCall Over(AttentionCall call, const runtime::CudaStream& stream) const;

 private:
  int ordered_ = 0;
  runtime::CudaBuffer begin_;
  runtime::CudaBuffer list_;
  runtime::CudaBuffer order_;
  runtime::CudaBuffer counter_;
};

}  // namespace dbsp::kernels::gpu
