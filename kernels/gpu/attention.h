// SPDX-License-Identifier: Apache-2.0
// Forward pass of attention on an NVIDIA GPU over a list of key blocks, or of single keys, per
// query block. Inputs are bf16, accumulation is fp32, O is bf16 and LSE fp32. The header names no
// vendor type: pointers are device addresses and a stream is a void*.
//
//   S = scale * Q K^T over the listed keys;  LSE = ln sum exp S;  O = sum exp(S - LSE) V
//
// A query row with no key gives O = 0 and LSE = -infinity.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dbsp::kernels::gpu {

/// bf16 [batch][heads][tokens][head_dim]; strides in elements, the head dimension is contiguous.
/// requires  data and every stride a multiple of 16 bytes (8 elements)
struct TensorView {
  void* data = nullptr;
  std::int64_t batch_stride = 0;
  std::int64_t head_stride = 0;
  std::int64_t token_stride = 0;
};

struct AttentionShape {
  int batch = 1;
  int heads = 1;
  int q_tokens = 0;
  int k_tokens = 0;
  int head_dim = 128;  ///< 64 or 128
  float scale = 1.0F;
};

/// One launch. A tile is one (batch, head, query block), numbered
///   (b * heads + h) * q_blocks + query block,  q_blocks = ceil(q_tokens / variant's q_block).
struct AttentionCall {
  AttentionShape shape;
  TensorView q;
  TensorView k;
  TensorView v;
  TensorView o;
  float* lse = nullptr;  ///< [batch][heads][q_tokens], natural log
  /// [tiles + 1] into list; begin[tiles] <= 2^31 - 1
  const std::int32_t* begin = nullptr;
  /// Ascending within a tile: key blocks of the variant's k_block tokens, or single keys where
  /// k_block is 1 (gather).
  const std::int32_t* list = nullptr;
  /// [ordered_tiles] result of TileOrder (tile_order.h): the entries with at least one key,
  /// heaviest first. An entry is max(1, tile_m / q_block) adjacent query blocks of a head,
  /// identified by the tile of the first one. All other entries must have empty lists; the launch
  /// writes O = 0 and LSE = -infinity for them.
  const std::int32_t* order = nullptr;
  int ordered_tiles = 0;
  /// One int of device memory. The launch sets it to 0 in stream order.
  std::int32_t* counter = nullptr;
  int sm_count = 0;  ///< SMs of a persistent launch; 0 = every SM of the device
  void* stream = nullptr;
};

enum class ListKind : std::uint8_t { kBlocks, kKeys };

/// One compiled kernel: a row of the table that profiler, tuner, gpu-check and tests enumerate.
struct Variant {
  const char* name = "";  ///< "sm90.block128x128.d128", unique
  ListKind list = ListKind::kBlocks;
  int min_arch = 80;  ///< 80 = compute capability 8.0 and up; 90 = sm_90a only
  int head_dim = 128;
  int q_block = 128;  ///< tokens of a query block of the lists
  int k_block = 128;  ///< tokens of a key block of the lists; 1 for ListKind::kKeys
  int tile_m = 128;  ///< query rows of a thread block
  int tile_n = 128;  ///< keys of a main-loop step
  int stages = 2;  ///< steps of K and V in shared memory
  int threads = 384;
  int shared_bytes = 0;  ///< dynamic shared memory
  bool deterministic = true;  ///< bit-identical results over repeated launches
  /// Enqueues on call.stream.
  /// errors Error{kInvalidArgument} of CheckCall before the launch; Error{kUnavailable} with the
  /// CUDA
  ///        runtime's text when the launch fails
  void (*launch)(const AttentionCall& call) = nullptr;
  /// Thread blocks that the launch starts on every SM and that must run at the same time.
  int blocks_per_sm = 1;
  /// Thread blocks of the kernel that fit on one SM of the current device (CUDA's occupancy).
  /// errors Error{kUnavailable} as launch
  int (*blocks_that_fit)() = nullptr;
};

}  // namespace dbsp::kernels::gpu

/// Instantiates a family's functions for one kernel of its list, in the family's namespace.
#define DBSP_INSTANTIATE_LAUNCH(Kernel)                    \
  template void Launch<Kernel>(const AttentionCall& call); \
  template int BlocksThatFit<Kernel>();
