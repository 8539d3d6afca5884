// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/rules/sta.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <mutex>

#include "core/error.h"
#include "core/file.h"
#include "planner/workload/rules/rules.h"

namespace dbsp::planner {
namespace {

/// Tiles of the model's grid.
/// errors  Error{kInvalidArgument} if a side is not a multiple of the tile
Grid TilesOf(const ModelShape& model) {
  const Grid& g = model.grid;
  if (g.frames % kStaTile.frames == 0 && g.height % kStaTile.height == 0 &&
      g.width % kStaTile.width == 0) {
    return {g.frames / kStaTile.frames, g.height / kStaTile.height, g.width / kStaTile.width};
  }
  const auto up = [](int side, int tile) { return (side + tile - 1) / tile * tile; };
  Fail(ErrorCode::kInvalidArgument,
       "mask rule 'sta': expected a grid of whole 6x8x8 tiles, found {}x{}x{}; the padded grid is "
       "--grid {},{},{}",
       g.frames,
       g.height,
       g.width,
       up(g.frames, kStaTile.frames),
       up(g.height, kStaTile.height),
       up(g.width, kStaTile.width));
}

StaWindow ParseTriple(const std::string& option, const std::string& text) {
  StaWindow window;
  const char* at = text.data();
  const char* end = at + text.size();
  for (int* side : {&window.frames, &window.height, &window.width}) {
    const bool last = side == &window.width;
    const auto [stop, problem] = std::from_chars(at, end, *side);
    const bool good = problem == std::errc() && *side >= 1 && *side <= 65535 &&
                      (last ? stop == end : stop != end && *stop == 'x');
    if (!good) {
      Fail(ErrorCode::kInvalidArgument,
           "mask rule 'sta': option {}: expected TxHxW in tiles, found '{}'",
           option,
           text);
    }
    at = last ? stop : stop + 1;
  }
  return window;
}

/// Tile grid that a table was made for: its largest windows, which are full in warm-up steps.
StaWindow LargestSides(const StaTable& table) {
  StaWindow largest;
  for (const StaWindow& window : table.windows) {
    largest.frames = std::max(largest.frames, window.frames);
    largest.height = std::max(largest.height, window.height);
    largest.width = std::max(largest.width, window.width);
  }
  return largest;
}

void RequireTiles(const std::string& origin, const StaWindow& made_for, const ModelShape& model) {
  const Grid tiles = TilesOf(model);
  if (made_for == StaWindow{tiles.frames, tiles.height, tiles.width}) return;
  Fail(
      ErrorCode::kMismatch,
      "{}: made for {}x{}x{} tiles, but the model's grid {}x{}x{} has {}x{}x{}; for a file without "
      "full windows, give its tile grid with tiles=TxHxW",
      origin,
      made_for.frames,
      made_for.height,
      made_for.width,
      model.grid.frames,
      model.grid.height,
      model.grid.width,
      tiles.frames,
      tiles.height,
      tiles.width);
}

/// Masks of a table. Every distinct window has one mask object.
class StaMasks : public RuleMasks {
 public:
  StaMasks(const RuleContext& context, StaTable table)
      : context_(context), tiles_(TilesOf(context.model)), table_(std::move(table)) {}

  LayerMasks Make(int step, int layer) override {
    LayerMasks masks;
    for (const std::uint16_t window : Row(step, layer)) {
      masks.head.push_back(MaskOf(table_.windows[window]).mask);
    }
    return masks;
  }
  [[nodiscard]] std::string Key(int step, int layer) const override {
    return fmt::format("row{}", RowIndex(step, layer));
  }
  std::vector<std::int64_t> ActiveBlocks(int step, int layer) override {
    std::vector<std::int64_t> counts;
    for (const std::uint16_t window : Row(step, layer)) {
      counts.push_back(MaskOf(table_.windows[window]).active_blocks);
    }
    return counts;
  }

 private:
  struct Counted {
    BlockMaskPtr mask;
    std::int64_t active_blocks = 0;
  };

  [[nodiscard]] std::size_t RowIndex(int step, int layer) const {
    return table_
        .row_of[static_cast<std::size_t>(step) * static_cast<std::size_t>(context_.model.layers) +
                static_cast<std::size_t>(layer)];
  }
  [[nodiscard]] std::span<const std::uint16_t> Row(int step, int layer) const {
    const auto heads = static_cast<std::size_t>(table_.heads);
    return std::span(table_.row_window).subspan(RowIndex(step, layer) * heads, heads);
  }
  Counted MaskOf(const StaWindow& window) {
    const std::lock_guard lock(mutex_);
    Counted& counted = masks_[window];
    if (!counted.mask) {
      counted.mask = std::make_shared<const BlockMask>(
          StaMask(tiles_, window, context_.model.text_tokens, context_.block));
      counted.active_blocks = counted.mask->Count();
    }
    return counted;
  }

  RuleContext context_;
  Grid tiles_;
  StaTable table_;
  std::mutex mutex_;
  std::map<StaWindow, Counted> masks_;  // guarded by mutex_
};

class StaRule : public MaskRuleType {
 public:
  [[nodiscard]] std::string name() const override { return "sta"; }
  [[nodiscard]] std::string summary() const override {
    return "Sliding Tile Attention: a window of tiles per head, given or from a table";
  }
  [[nodiscard]] std::vector<OptionSpec> Specs(const ModelShape& /*model*/) const override {
    return {{"file", OptionKind::kText, 0, 0, "", {}},
            {"tiles", OptionKind::kText, 0, 0, "", {}},
            {"window", OptionKind::kText, 0, 0, "", {}}};
  }

  // A file covers every step. A window alone needs the method's warm-up.
  [[nodiscard]] WarmUp DefaultWarmUp(
      const ModelShape& model, const std::map<std::string, std::string>& given) const override {
    if (given.contains("file")) return {};
    const std::string family = ModelFamily(model);
    if (family == "wan2.1" || family == "wan2.2") return {12, 0};
    if (family == "hunyuanvideo") return {15, 0};
    return {};
  }

  void Resolve(const RuleContext& context, MaskRule& rule) const override {
    const std::string file = rule.options["file"];
    if (file.empty()) return;
    const StaTable table = ParseStaTable(ReadFile(file, kMaxTextBytes), file, context.model);
    const std::string& tiles = rule.options["tiles"];
    const StaWindow made_for = tiles.empty() ? LargestSides(table) : ParseTriple("tiles", tiles);
    RequireTiles(file, made_for, context.model);
    context.Note(fmt::format("{}: {} different windows; {} tiles, {}x{}x{}",
                             file,
                             table.windows.size(),
                             tiles.empty() ? "its largest windows are the grid's"
                                           : "tiles= says that it was made for the grid's",
                             made_for.frames,
                             made_for.height,
                             made_for.width));
    rule.blob = StaTableToBlob(table);
    rule.options["file"] = std::filesystem::path(file).filename().string();
  }

  [[nodiscard]] std::unique_ptr<RuleMasks> Open(const RuleContext& context,
                                                const MaskRule& rule) const override {
    const RuleOptions options(name(), Specs(context.model), rule.options);
    const bool window = !options.Text("window").empty();
    if (window == !options.Text("file").empty()) {
      Fail(ErrorCode::kInvalidArgument,
           "mask rule 'sta': expected either file=mask_strategy.json or window=TxHxW");
    }
    if (window && !options.Text("tiles").empty()) {
      Fail(ErrorCode::kInvalidArgument,
           "mask rule 'sta': tiles= says for which tiles a file was made; with window= it has no "
           "meaning");
    }
    const Grid tiles = TilesOf(context.model);
    RequireBlockDivides(name(), kStaTileTokens, context.block);
    if (!window) {
      return std::make_unique<StaMasks>(context, StaTableFromBlob(rule.blob, context.model));
    }
    const StaWindow sides = ParseTriple("window", options.Text("window"));
    return SharedMask(context.model.heads, [context, tiles, sides] {
      return StaMask(tiles, sides, context.model.text_tokens, context.block);
    });
  }
};

}  // namespace

const MaskRuleType& StaRuleType() {
  static const StaRule rule;
  return rule;
}

}  // namespace dbsp::planner
