// SPDX-License-Identifier: Apache-2.0
#include "profiler/gpu/device_values.h"

#include <algorithm>
#include <random>

#include "core/bf16.h"

namespace dbsp::profiler {

const std::vector<std::uint16_t>& DeviceValues::Tile(int head_dim, int set) {
  const auto [at, fresh] = tiles_.try_emplace({head_dim, set});
  if (fresh) {
    std::mt19937 random(static_cast<std::uint32_t>(1 + set));
    std::normal_distribution<float> normal;
    at->second.resize(static_cast<std::size_t>(kTileRows) * static_cast<std::size_t>(head_dim));
    for (std::uint16_t& value : at->second) value = ToBf16(normal(random));
  }
  return at->second;
}

void DeviceValues::Fill(const runtime::CudaBuffer& buffer,
                        int head_dim,
                        int set,
                        const runtime::CudaStream& stream) {
  const std::vector<std::uint16_t>& tile = Tile(head_dim, set);
  std::size_t filled = std::min(buffer.bytes(), tile.size() * sizeof(std::uint16_t));
  buffer.Upload(tile.data(), filled, stream);
  // The filled part consists of whole tiles, so that the copy continues with the start of a tile.
  while (filled < buffer.bytes()) {
    const std::size_t next = std::min(filled, buffer.bytes() - filled);
    buffer.CopyPart(buffer, 0, filled, next, stream);
    filled += next;
  }
}

std::span<const std::uint16_t> DeviceValues::Row(int head_dim, int set, std::int64_t row) {
  const auto dim = static_cast<std::size_t>(head_dim);
  return std::span(Tile(head_dim, set))
      .subspan(static_cast<std::size_t>(row % kTileRows) * dim, dim);
}

}  // namespace dbsp::profiler
