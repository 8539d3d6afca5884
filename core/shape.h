// SPDX-License-Identifier: Apache-2.0
// Shapes of models and of one attention call. No algorithm lives here.
#pragma once

#include <cstdint>
#include <string>

namespace dbsp {

/// Query and key tokens per block, written QxK.
struct BlockSize {
  int q = 128;
  int k = 128;
  bool operator==(const BlockSize&) const = default;
};

/// Latent grid of a video (frames x height x width tokens); frames = 1 for an image.
struct Grid {
  int frames = 1;
  int height = 1;
  int width = 1;
  [[nodiscard]] std::int64_t tokens() const {
    return static_cast<std::int64_t>(frames) * height * width;
  }
  bool operator==(const Grid&) const = default;
};

/// The parameters of a model that planning needs.
struct ModelShape {
  std::string name;
  int layers = 1;
  int heads = 1;
  int head_dim = 128;
  Grid grid;
  std::int64_t text_tokens = 0;  ///< follow the video tokens in the same sequence
  int steps = 1;  ///< denoising steps
  int passes = 1;  ///< classifier-free-guidance passes per step, 1 or 2
  [[nodiscard]] std::int64_t tokens() const { return grid.tokens() + text_tokens; }
  bool operator==(const ModelShape&) const = default;
};

/// Attention of one (step, layer) over the whole sequence, before it is split over ranks.
struct AttentionShape {
  int heads = 1;
  int head_dim = 128;
  std::int64_t tokens = 0;
  BlockSize block;

  [[nodiscard]] int q_blocks() const { return static_cast<int>((tokens + block.q - 1) / block.q); }
  [[nodiscard]] int k_blocks() const { return static_cast<int>((tokens + block.k - 1) / block.k); }
  /// Number of tokens in query block i or key block j. Only the last block may be short.
  [[nodiscard]] int q_tokens(int i) const {
    const std::int64_t left = tokens - static_cast<std::int64_t>(i) * block.q;
    return static_cast<int>(left < block.q ? left : block.q);
  }
  [[nodiscard]] int k_tokens(int j) const {
    const std::int64_t left = tokens - static_cast<std::int64_t>(j) * block.k;
    return static_cast<int>(left < block.k ? left : block.k);
  }
  bool operator==(const AttentionShape&) const = default;
};

/// Element type of Q, K and V in exchanges and kernels.
enum class DType : std::uint8_t { kF32, kBf16 };
[[nodiscard]] constexpr int BytesOf(DType type) { return type == DType::kF32 ? 4 : 2; }
[[nodiscard]] constexpr const char* NameOf(DType type) {
  return type == DType::kF32 ? "f32" : "bf16";
}

}  // namespace dbsp
