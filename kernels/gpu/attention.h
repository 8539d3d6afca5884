// SPDX-License-Identifier: Apache-2.0
// Attention forward on an NVIDIA GPU: bf16 in, fp32 accumulation, O (bf16) and LSE (fp32) out, over
// a list of key blocks (or of single keys) per query block. No vendor type is named here: a pointer
// is a device address, a stream a void*.
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
  /// [ordered_tiles] what TileOrder (tile_order.h) returns: entries with at least one key, heaviest
  /// first. An entry is tile_m / q_block adjacent query blocks of a head (at least one), named by
  /// the tile of the first. Other entries must have empty lists; the launch writes their O = 0 and
  /// LSE = -infinity.
  const std::int32_t* order = nullptr;
  int ordered_tiles = 0;
  std::int32_t* counter =
      nullptr;  ///< one int of device memory, the launch zeroes it in stream order
  int sm_count = 0;  ///< thread blocks of a persistent launch; 0 = every SM of the device
  void* stream = nullptr;
};

enum class ListKind : std::uint8_t { kBlocks, kKeys };

/// One compiled kernel: what profiler, tuner, gpu-check and tests enumerate. Data only.
struct Variant {
  const char* name = "";  ///< "sm90.block128x128.d128", unique
  ListKind list = ListKind::kBlocks;
  int min_arch = 80;  ///< 80 = compute capability 8.0 and up; 90 = sm_90a only
  int head_dim = 128;
  int q_block = 128;  ///< tokens of a query block of the lists
  int k_block = 128;  ///< tokens of a key block of the lists; 1 for ListKind::kKeys
  int tile_m = 128;  ///< query rows of a thread block
  int tile_n = 128;  ///< keys of a main-loop step
  int stages = 2;
  int threads = 384;
  int shared_bytes = 0;  ///< dynamic shared memory
  bool deterministic = true;  ///< bit-identical results over repeated launches
  /// Enqueues on call.stream. errors Error{kInvalidArgument} before launch for what CheckCall
  /// refuses, Error{kUnavailable} in the runtime's words for a refused launch
  void (*launch)(const AttentionCall& call) = nullptr;
};

}  // namespace dbsp::kernels::gpu

/// Instantiates a family's Launch for one kernel of its list, in the family's namespace.
#define DBSP_INSTANTIATE_LAUNCH(Kernel) template void Launch<Kernel>(const AttentionCall& call);
