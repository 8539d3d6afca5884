// SPDX-License-Identifier: Apache-2.0
// The part of an AttentionCall that a mask makes, in device memory: offsets, lists, the order in
// which tiles are taken and the counter of a persistent launch.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/gpu/attention.h"
#include "runtime/cuda/cuda_buffer.h"
#include "runtime/cuda/cuda_stream.h"

namespace dbsp::kernels::gpu {

/// Lists of one variant on the current device. Calls on one stream may share an object; calls that
/// may run at the same time may not, because each counts its tiles in `counter`.
class DeviceLists {
 public:
  /// Copies to the device and waits.
  /// q_blocks  query blocks of one head
  /// begin     [tiles + 1] into list; tiles = batch * heads * q_blocks
  /// list      ascending within a tile, as AttentionCall::list
  /// errors    Error{kInvalidArgument} as TileOrder; Error{kUnavailable} when the device has too
  ///           little memory
  /// owns      copies of everything; keeps no reference
  DeviceLists(const Variant& variant,
              int q_blocks,
              std::span<const std::int32_t> begin,
              std::span<const std::int32_t> list,
              const runtime::CudaStream& stream);

  /// `call` over these lists, on `stream`.
  [[nodiscard]] AttentionCall Over(AttentionCall call, const runtime::CudaStream& stream) const;

 private:
  int ordered_ = 0;
  runtime::CudaBuffer begin_;
  runtime::CudaBuffer list_;
  runtime::CudaBuffer order_;
  runtime::CudaBuffer counter_;
};

}  // namespace dbsp::kernels::gpu
