// SPDX-License-Identifier: Apache-2.0
#include "kernels/gpu/device_lists.h"

#include <vector>

#include "kernels/gpu/check_call.h"
#include "kernels/gpu/tile_order.h"

namespace dbsp::kernels::gpu {

using runtime::CudaStream;
using runtime::ToDevice;

DeviceLists::DeviceLists(const Variant& variant,
                         int q_blocks,
                         std::span<const std::int32_t> begin,
                         std::span<const std::int32_t> list,
                         const CudaStream& stream)
    : begin_(ToDevice(begin, "list offsets", stream)),
      list_(ToDevice(list, "lists", stream)),
      counter_(sizeof(std::int32_t), "the tile counter") {
  const std::vector<std::int32_t> order = TileOrder(begin, q_blocks, BlocksPerEntry(variant));
  ordered_ = static_cast<int>(order.size());
  order_ = ToDevice(std::span<const std::int32_t>(order), "the tile order", stream);
}

AttentionCall DeviceLists::Over(AttentionCall call, const CudaStream& stream) const {
  call.begin = begin_.As<std::int32_t>();
  call.list = list_.As<std::int32_t>();
  call.order = order_.As<std::int32_t>();
  call.ordered_tiles = ordered_;
  call.counter = counter_.As<std::int32_t>();
  call.stream = stream.get();
  return call;
}

}  // namespace dbsp::kernels::gpu
