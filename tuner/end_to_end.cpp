// SPDX-License-Identifier: Apache-2.0
#include "tuner/end_to_end.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <set>

#include "core/error.h"
#include "core/units.h"
#include "planner/workload/presets.h"

namespace dbsp::tuner {
namespace {

/// FLOP of a multiplication and an addition.
constexpr double kFlopsPerWeight = 2;

/// Adds up cells whose step is not skipped. cell_ns gives one pass of a class.
VideoTime TimeOfCells(const SearchResult& result,
                      const RestOfVideo& rest,
                      const std::function<double(int cls)>& cell_ns) {
  double attention_ns = 0;
  std::int64_t computed = 0;
  for (const SearchCell& cell : result.cells) {
    if (IsSkipped(rest, cell.step)) continue;
    attention_ns += cell_ns(cell.cls);
    ++computed;
  }
  return dbsp::VideoTimeOf(rest, attention_ns, computed);
}

std::optional<int> NumberOf(std::string_view digits) {
  int value = 0;
  const char* end = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), end, value);
  if (digits.empty() || parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return value;
}

}  // namespace

double LayerFlopsWithoutAttention(const ModelShape& model) {
  const planner::LayerWidths widths = planner::LayerWidthsOf(model);
  const double width = static_cast<double>(model.heads) * model.head_dim;
  const auto tokens = static_cast<double>(model.tokens());
  double weights = 4 * width * width + 2 * width * widths.feed_forward;
  double cross_attention = 0;
  if (widths.cross_attention_tokens > 0) {
    weights += 2 * width * width;  // its keys and values are few
    cross_attention = 4 * tokens * widths.cross_attention_tokens * width;
  }
  return kFlopsPerWeight * weights * tokens + cross_attention;
}

RestOfVideo EstimateRest(const ModelShape& model,
                         int ranks,
                         const planner::AttentionWork& work,
                         const planner::Costs& costs) {
  const double flops = AttentionFlops(work.active_pairs, work.head_dim);
  const double ns = costs.Attention(work).ns;
  if (flops <= 0 || ns <= 0) {
    Fail(ErrorCode::kNotFound, "the costs have no attention whose rate could be used");
  }
  const double layer = LayerFlopsWithoutAttention(model);
  RestOfVideo rest;
  rest.cell_ns = std::llround(layer * model.passes * ns / flops / ranks);
  rest.source = fmt::format(
      "estimated: {:.3g} TFLOP a layer and pass, of projections and feed-forward{}, at the {:.3g} "
      "TFLOP/s of attention, divided evenly over {} ranks",
      layer / 1e12,
      planner::LayerWidthsOf(model).known ? "" : " (taken to be 4 times as wide as the model)",
      flops / ns / 1e3,
      ranks);
  return rest;
}

std::vector<int> ParseSkippedSteps(std::string_view text, int steps) {
  std::set<int> skipped;
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t comma = rest.find(',');
    const std::string_view item = rest.substr(0, comma);
    const std::size_t dash = item.find('-');
    const auto first = NumberOf(item.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : NumberOf(item.substr(dash + 1));
    if (!first || !last || *last < *first || *last >= steps || comma + 1 == rest.size()) {
      Fail(ErrorCode::kInvalidArgument,
           "--skip-steps {}: expected steps from 0 to {}, such as 3,7-9",
           text,
           steps - 1);
    }
    for (int step = *first; step <= *last; ++step) skipped.insert(step);
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
  }
  if (static_cast<int>(skipped.size()) == steps) {
    Fail(ErrorCode::kInvalidArgument,
         "--skip-steps {}: all {} steps; at least one step is computed",
         text,
         steps);
  }
  return {skipped.begin(), skipped.end()};
}

std::optional<VideoTime> VideoTimeOf(const SearchResult& result,
                                     const RestOfVideo& rest,
                                     std::size_t candidate) {
  if (!result.candidates[candidate].excluded.empty()) return std::nullopt;
  return TimeOfCells(result, rest, [&](int cls) {
    return static_cast<double>(result.classes[cls].scores[candidate].total_ns) *
           result.WavesOf(candidate);
  });
}

VideoTime VideoTimeOf(const SearchResult& result, const RestOfVideo& rest) {
  return TimeOfCells(result, rest, [&](int cls) {
    const auto chosen = static_cast<std::size_t>(result.classes[cls].choice.chosen);
    return static_cast<double>(result.classes[cls].scores[chosen].total_ns) *
           result.WavesOf(chosen);
  });
}

std::string VideoLines(const SearchResult& result,
                       const RestOfVideo& rest,
                       const std::vector<PricedBaseline>& baselines,
                       std::int64_t video_cells) {
  const auto cells = static_cast<std::int64_t>(result.cells.size());
  const std::string what = cells == video_cells
                               ? "whole video"
                               : fmt::format("{} of {} cells of the video", cells, video_cells);
  const VideoTime plan = VideoTimeOf(result, rest);
  const double unit = plan.total_ms() >= 1e4 ? 1e3 : 1;
  const char* name = unit > 1 ? "s" : "ms";
  std::string text = fmt::format("plan: {} {:.3f} {}: attention {:.3f} ({:.0f}%), rest {:.3f}",
                                 what,
                                 plan.total_ms() / unit,
                                 name,
                                 plan.attention_ms / unit,
                                 100 * plan.attention_share(),
                                 plan.rest_ms / unit);
  if (plan.once_ms > 0) text += fmt::format(", once per video {:.3f}", plan.once_ms / unit);
  if (!rest.skipped_steps.empty()) {
    text += fmt::format("; {} steps are skipped", rest.skipped_steps.size());
  }
  text += "\n";
  for (const PricedBaseline& baseline : baselines) {
    if (baseline.times.empty() || plan.total_ms() <= 0) continue;
    const int waves = SequentialWaves(result.passes, 1);
    const VideoTime plain = TimeOfCells(result, rest, [&](int cls) {
      return static_cast<double>(baseline.times[cls].total_ns) * waves;
    });
    text += fmt::format("plan: {} {:.3f}x the speed of plain {} ({:.3f} {})\n",
                        what,
                        plain.total_ms() / plan.total_ms(),
                        NameOf(baseline.family),
                        plain.total_ms() / unit,
                        name);
  }
  return text;
}

}  // namespace dbsp::tuner
