// SPDX-License-Identifier: Apache-2.0
// VSA: tokens form tiles of 4 x 4 x 4 = 64. Each query tile attends to the k key tiles with the
// highest score of pooled queries and keys. The scores here come from a seed: k is exact, positions
// are not real. Scores are integers, so equal seeds give equal masks on every machine.
//
// A side that is no multiple of 4 ends with a short tile, which the method pads to 64 tokens. The
// workload has the padded grid (docs/design/0023-vsa-padded-grid.md).
#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "planner/workload/rules/prng.h"
#include "planner/workload/rules/rules.h"

namespace dbsp::planner {
namespace {

constexpr int kTileSide = 4;
constexpr int kTileTokens = kTileSide * kTileSide * kTileSide;
constexpr int kFeatures = 8;
constexpr int kFeatureRange = 256;
// Separates these streams from those of other rules with the same seed.
constexpr std::uint64_t kStream = 0x05A;

using Features = std::array<std::int32_t, kFeatures>;

/// Pooled queries or keys of one head, one vector per tile.
std::vector<Features> MakeFeatures(int tiles, Prng& prng) {
  std::vector<Features> features(tiles);
  for (Features& tile : features) {
    for (std::int32_t& feature : tile) {
      feature = static_cast<std::int32_t>(prng.Below(2 * kFeatureRange)) - kFeatureRange;
    }
  }
  return features;
}

int RoundUp(int side, int multiple) { return (side + multiple - 1) / multiple * multiple; }

/// A plain sequence of tokens is in tile order already.
bool IsSequence(const Grid& grid) { return grid.frames == 1 && grid.height == 1; }

/// k of the reference: ceil((1 - sparsity) tiles), at least one tile and at most all.
int TopTiles(double sparsity, int tiles) {
  return std::clamp(static_cast<int>(std::ceil((1 - sparsity) * tiles)), 1, tiles);
}

class VsaMasks : public RuleMasks {
 public:
  VsaMasks(const RuleContext& context, const RuleOptions& options)
      : shape_(context.shape()),
        tiles_(static_cast<int>(context.model.grid.tokens() / kTileTokens)),
        top_(TopTiles(options.Number("sparsity"), tiles_)),
        seed_(static_cast<std::uint64_t>(options.Int("seed"))) {}

  LayerMasks Make(int step, int layer) override {
    LayerMasks masks;
    for (int h = 0; h < shape_.heads; ++h) {
      Prng prng{kStream,
                seed_,
                static_cast<std::uint64_t>(step),
                static_cast<std::uint64_t>(layer),
                static_cast<std::uint64_t>(h)};
      masks.head.push_back(std::make_shared<const BlockMask>(
          RefineMask(HeadMask(prng), kTileTokens, shape_.block, shape_.tokens)));
    }
    return masks;
  }
  [[nodiscard]] std::string Key(int step, int layer) const override {
    return fmt::format("{},{}", step, layer);
  }
  std::vector<std::int64_t> ActiveBlocks(int /*step*/, int /*layer*/) override {
    const std::int64_t rows = shape_.q_blocks();
    const std::int64_t cols = shape_.k_blocks();
    const std::int64_t wide = kTileTokens / shape_.block.k;
    const std::int64_t tile_rows = std::int64_t{tiles_} * (kTileTokens / shape_.block.q);
    const std::int64_t tile_cols = tiles_ * wide;
    const std::int64_t count =
        tile_rows * (top_ * wide + cols - tile_cols) + (rows - tile_rows) * cols;
    return std::vector<std::int64_t>(shape_.heads, count);
  }

 private:
  [[nodiscard]] BlockMask HeadMask(Prng& prng) const {
    const auto all = static_cast<int>((shape_.tokens + kTileTokens - 1) / kTileTokens);
    const std::vector<Features> queries = MakeFeatures(tiles_, prng);
    const std::vector<Features> keys = MakeFeatures(tiles_, prng);
    BlockMask mask(all, all);
    std::vector<std::int64_t> ranked(tiles_);
    for (int i = 0; i < tiles_; ++i) {
      const Features& query = queries[i];
      for (int j = 0; j < tiles_; ++j) {
        const Features& key = keys[j];
        const std::int64_t score =
            std::inner_product(query.begin(), query.end(), key.begin(), std::int64_t{0});
        // Orders by score, then by the lower tile. The number is unique per tile.
        ranked[j] = score * tiles_ - j;
      }
      KeepTop(ranked, i, mask);
      mask.SetRange(i, tiles_, all);
    }
    for (int i = tiles_; i < all; ++i) mask.SetRange(i, 0, all);
    return mask;
  }

  /// Activates the top_ tiles of `ranked` in row i.
  void KeepTop(const std::vector<std::int64_t>& ranked, int i, BlockMask& mask) const {
    std::vector<std::int64_t> sorted = ranked;
    const auto last = sorted.begin() + (top_ - 1);
    std::nth_element(sorted.begin(), last, sorted.end(), std::greater<>());
    for (int j = 0; j < tiles_; ++j) {
      if (ranked[j] >= *last) mask.Set(i, j);
    }
  }

  AttentionShape shape_;
  int tiles_;
  int top_;
  std::uint64_t seed_;
};

class VsaRule : public MaskRuleType {
 public:
  [[nodiscard]] std::string name() const override { return "vsa"; }
  [[nodiscard]] std::string summary() const override {
    return "Video Sparse Attention: equally many key tiles for every tile of 4x4x4 tokens";
  }
  [[nodiscard]] bool PositionsAreReal() const override { return false; }
  [[nodiscard]] std::vector<OptionSpec> Specs(const ModelShape& /*model*/) const override {
    return {{"seed", OptionKind::kInt, 0, kMaxSeed, "0", {}},
            {"sparsity", OptionKind::kNumber, 0, 1, "0.9", {}}};
  }
  [[nodiscard]] BlockSize DefaultBlock(
      const ModelShape& /*model*/,
      const std::map<std::string, std::string>& /*given*/) const override {
    return {kTileTokens, kTileTokens};
  }
  [[nodiscard]] Grid ComputedGrid(const Grid& grid) const override {
    if (IsSequence(grid)) return {1, 1, RoundUp(grid.width, kTileTokens)};
    return {RoundUp(grid.frames, kTileSide),
            RoundUp(grid.height, kTileSide),
            RoundUp(grid.width, kTileSide)};
  }
  [[nodiscard]] std::unique_ptr<RuleMasks> Open(const RuleContext& context,
                                                const MaskRule& rule) const override {
    const RuleOptions options(name(), Specs(context.model), rule.options);
    const Grid& grid = context.model.grid;
    const Grid padded = ComputedGrid(grid);
    if (!(padded == grid)) {
      Fail(ErrorCode::kInvalidArgument,
           "mask rule 'vsa': expected a grid of whole 4x4x4 tiles, found {}x{}x{}; make the "
           "workload again, which pads it to {}x{}x{}",
           grid.frames,
           grid.height,
           grid.width,
           padded.frames,
           padded.height,
           padded.width);
    }
    RequireBlockDivides(name(), kTileTokens, context.block);
    return std::make_unique<VsaMasks>(context, options);
  }
};

}  // namespace

const MaskRuleType& VsaRuleType() {
  static const VsaRule rule;
  return rule;
}

}  // namespace dbsp::planner
