// SPDX-License-Identifier: Apache-2.0
// Lists of single keys at seeded positions: density, length of runs, and the share of keys that
// neighbouring query blocks have in common are given.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "planner/workload/rules/fine_cells.h"
#include "planner/workload/rules/prng.h"
#include "planner/workload/rules/rules.h"

namespace dbsp::planner {
namespace {

// Separates the stream of a head's density from the stream of its keys.
constexpr std::uint64_t kFineDensityStream = 0xF1;
constexpr std::uint64_t kKeyStream = 0xF2;

/// One row of chosen pieces, from which the next row is made. A piece is `run` keys.
class PieceRow {
 public:
  PieceRow(std::int64_t pieces, std::int64_t chosen, Prng prng)
      : prng_(prng), order_(static_cast<std::size_t>(pieces)), chosen_(chosen) {
    std::iota(order_.begin(), order_.end(), 0);
    Draw(0, chosen_, pieces);
  }

  [[nodiscard]] std::span<const std::int32_t> chosen() const {
    return {order_.data(), static_cast<std::size_t>(chosen_)};
  }

  /// Replaces `count` chosen pieces, or all that are not chosen if these are fewer.
  /// Returns how many were replaced. The new ones are the first of chosen().
  std::int64_t Replace(std::int64_t count) {
    const auto pieces = static_cast<std::int64_t>(order_.size());
    count = std::min(count, pieces - chosen_);
    Draw(0, count, chosen_);
    Draw(chosen_, count, pieces);
    std::swap_ranges(order_.begin(), order_.begin() + count, order_.begin() + chosen_);
    return count;
  }
  /// Pieces that the last Replace(count) removed. requires its result
  [[nodiscard]] std::span<const std::int32_t> removed(std::int64_t count) const {
    return {order_.data() + chosen_, static_cast<std::size_t>(count)};
  }

 private:
  /// Moves `count` random elements of [begin, end) to its front.
  void Draw(std::int64_t begin, std::int64_t count, std::int64_t end) {
    for (std::int64_t i = begin; i < begin + count; ++i) {
      const auto other = i + static_cast<std::int64_t>(prng_.Below(end - i));
      std::swap(order_[static_cast<std::size_t>(i)], order_[static_cast<std::size_t>(other)]);
    }
  }

  Prng prng_;
  std::vector<std::int32_t> order_;  ///< the first chosen_ pieces are in the row
  std::int64_t chosen_;
};

void ClearRange(std::span<std::uint64_t> words, int begin, int end) {
  for (int w = begin / 64; w <= (end - 1) / 64; ++w) {
    const int low = w == begin / 64 ? begin % 64 : 0;
    const int count = (w == (end - 1) / 64 ? (end - 1) % 64 + 1 : 64) - low;
    const std::uint64_t ones = count == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
    words[w] &= ~(ones << low);
  }
}

class SyntheticFine : public RuleMasks {
 public:
  SyntheticFine(const RuleContext& context, const RuleOptions& options)
      : shape_(context.shape()),
        queries_(ParseQueries("fine", options.Text("queries"))),
        density_(options.Number("density")),
        run_(static_cast<int>(options.Int("run"))),
        share_(options.Number("share")),
        spread_(options.Number("spread")),
        every_(options.Int("every")),
        seed_(static_cast<std::uint64_t>(options.Int("seed"))) {}

  LayerMasks Make(int step, int layer) override {
    LayerMasks blocks;
    for (int h = 0; h < shape_.heads; ++h) {
      blocks.head.push_back(std::make_shared<const BlockMask>(
          BlocksOfFine(Head(step, layer, h), queries_, shape_.block)));
    }
    return blocks;
  }
  [[nodiscard]] std::string Key(int step, int layer) const override {
    return fmt::format("{},{}", TimeOf(step), layer);
  }
  std::vector<std::int64_t> ActiveBlocks(int step, int layer) override {
    return Cell(step, layer)->active_blocks;
  }
  [[nodiscard]] int FineQueries() const override { return queries_; }
  FineMasks MakeFine(int step, int layer) override {
    FineMasks fine;
    fine.queries = queries_;
    for (int h = 0; h < shape_.heads; ++h) {
      fine.bits.head.push_back(std::make_shared<const BlockMask>(Head(step, layer, h)));
    }
    return fine;
  }
  FineCounts CountFine(int step, int layer) override { return Cell(step, layer)->fine; }
  [[nodiscard]] std::vector<std::string> Describe() const override {
    return {DerivedNote(queries_, shape_.block)};
  }

 private:
  [[nodiscard]] std::int64_t TimeOf(int step) const { return every_ == 0 ? 0 : step / every_; }

  std::shared_ptr<const FineCell> Cell(int step, int layer) {
    return cells_.Get(Key(step, layer), [&] {
      FineCell cell;
      for (int h = 0; h < shape_.heads; ++h) {
        cell.Add(Head(step, layer, h), queries_, shape_.block);
      }
      return cell;
    });
  }

  [[nodiscard]] BlockMask Head(int step, int layer, int head) const {
    const auto keys = static_cast<int>(shape_.tokens);
    const std::int64_t pieces = (shape_.tokens + run_ - 1) / run_;
    const auto at_layer = static_cast<std::uint64_t>(layer);
    const auto at_head = static_cast<std::uint64_t>(head);
    Prng drawn{kFineDensityStream, seed_, at_layer, at_head};
    const double density =
        std::clamp(density_ * (1 + spread_ * (2 * drawn.Uniform() - 1)), 0.0, 1.0);
    const std::int64_t chosen = std::llround(density * static_cast<double>(pieces));
    PieceRow row(
        pieces,
        chosen,
        Prng{kKeyStream, seed_, static_cast<std::uint64_t>(TimeOf(step)), at_layer, at_head});
    const std::int64_t replaced = std::llround((1 - share_) * static_cast<double>(chosen));
    BlockMask mask(static_cast<int>((shape_.tokens + queries_ - 1) / queries_), keys);
    const auto end = [&](std::int32_t piece) { return std::min((piece + 1) * run_, keys); };
    for (const std::int32_t piece : row.chosen()) mask.SetRange(0, piece * run_, end(piece));
    for (int i = 1; i < mask.rows(); ++i) {
      std::ranges::copy(mask.row(i - 1), mask.mutable_row(i).begin());
      const std::int64_t count = row.Replace(replaced);
      for (const std::int32_t piece : row.removed(count)) {
        ClearRange(mask.mutable_row(i), piece * run_, end(piece));
      }
      for (const std::int32_t piece : row.chosen().first(static_cast<std::size_t>(count))) {
        mask.SetRange(i, piece * run_, end(piece));
      }
    }
    return mask;
  }

  AttentionShape shape_;
  int queries_;
  double density_;
  int run_;
  double share_;
  double spread_;
  std::int64_t every_;
  std::uint64_t seed_;
  FineCells cells_;
};

class FineRule : public MaskRuleType {
 public:
  [[nodiscard]] std::string name() const override { return "fine"; }
  [[nodiscard]] std::string summary() const override {
    return "random lists of single keys for blocks of 64 or 128 queries";
  }
  [[nodiscard]] bool PositionsAreReal() const override { return false; }
  [[nodiscard]] std::vector<OptionSpec> Specs(const ModelShape& /*model*/) const override {
    return {{"density", OptionKind::kNumber, 0, 1, std::nullopt, {}},
            {"every", OptionKind::kInt, 0, 1 << 20, "0", {}},
            {"queries", OptionKind::kText, 0, 0, "128", {}},
            {"run", OptionKind::kInt, 1, 1 << 20, "1", {}},
            {"seed", OptionKind::kInt, 0, kMaxSeed, "0", {}},
            {"share", OptionKind::kNumber, 0, 1, "0", {}},
            {"spread", OptionKind::kNumber, 0, 1, "0", {}}};
  }
  [[nodiscard]] std::unique_ptr<RuleMasks> Open(const RuleContext& context,
                                                const MaskRule& rule) const override {
    const RuleOptions options(name(), Specs(context.model), rule.options);
    const std::int64_t tokens = context.model.tokens();
    RequireFineLimit(name(), tokens, ParseQueries(name(), options.Text("queries")));
    if (options.Int("run") > tokens) {
      Fail(ErrorCode::kInvalidArgument,
           "mask rule 'fine': option run: expected at most the {} tokens of the model, found {}",
           tokens,
           options.Int("run"));
    }
    return std::make_unique<SyntheticFine>(context, options);
  }
};

}  // namespace

const MaskRuleType& FineRuleType() {
  static const FineRule rule;
  return rule;
}

}  // namespace dbsp::planner
