// SPDX-License-Identifier: Apache-2.0
// bf16 inputs of device trials. The values are normally distributed, because power and therefore
// clocks depend on the data. One tile of rows is drawn on the host and repeated in device memory,
// so that the host knows every value without storing all of them.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "runtime/cuda/cuda_buffer.h"
#include "runtime/cuda/cuda_stream.h"

namespace dbsp::profiler {

class DeviceValues {
 public:
  /// Number of rows in a tile; a prime, so that blocks of keys differ.
  static constexpr std::int64_t kTileRows = 4093;

  /// Fills `buffer` with rows of `head_dim` elements.
  /// set     which values: 0, 1, 2, ...
  /// errors  as CudaBuffer's
  void Fill(const runtime::CudaBuffer& buffer,
            int head_dim,
            int set,
            const runtime::CudaStream& stream);
  /// Row `row` of a filled buffer: bf16 [head_dim]. Valid during the object's lifetime.
  [[nodiscard]] std::span<const std::uint16_t> Row(int head_dim, int set, std::int64_t row);

 private:
  const std::vector<std::uint16_t>& Tile(int head_dim, int set);
  std::map<std::pair<int, int>, std::vector<std::uint16_t>> tiles_;  ///< by (head_dim, set)
};

}  // namespace dbsp::profiler
