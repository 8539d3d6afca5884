// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/recording.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "core/error.h"
#include "core/workload_cells.h"

namespace dbsp::planner {
namespace {

constexpr const char* kFormat = "dbsp.recording/1";
constexpr int kMaxSide = 1 << 20;

/// Texts of one file, read as numbers.
class Texts {
 public:
  Texts(const std::map<std::string, std::string>& texts, std::string origin)
      : texts_(texts), origin_(std::move(origin)) {}

  [[nodiscard]] std::string Text(const std::string& key, const char* fallback) const {
    const auto found = texts_.find(key);
    return found == texts_.end() ? fallback : found->second;
  }
  [[nodiscard]] std::int64_t Int(const std::string& key,
                                 std::int64_t low,
                                 std::int64_t high) const {
    return Numbers(key, '\0', 1, low, high).front();
  }
  [[nodiscard]] std::optional<int> Maybe(const std::string& key) const {
    if (!texts_.contains(key)) return std::nullopt;
    return static_cast<int>(Int(key, 1, kMaxSide));
  }
  /// `count` integers with `separator` between them.
  [[nodiscard]] std::vector<std::int64_t> Numbers(const std::string& key,
                                                  char separator,
                                                  std::size_t count,
                                                  std::int64_t low,
                                                  std::int64_t high) const {
    const auto text = texts_.find(key);
    std::vector<std::int64_t> numbers;
    const char* at = text == texts_.end() ? nullptr : text->second.data();
    const char* const end = at == nullptr ? at : at + text->second.size();
    while (at != nullptr && numbers.size() < count) {
      std::int64_t number = 0;
      const auto [stop, problem] = std::from_chars(at, end, number);
      const bool last = numbers.size() + 1 == count;
      const bool good = problem == std::errc() && number >= low && number <= high &&
                        (last ? stop == end : stop != end && *stop == separator);
      if (!good) break;
      numbers.push_back(number);
      at = stop + (last ? 0 : 1);
    }
    if (numbers.size() == count) return numbers;
    Fail(ErrorCode::kCorruptInput,
         "{}: metadata '{}': expected {} from {} to {}, found {}",
         origin_,
         key,
         count == 1 ? "an integer"
                    : fmt::format("{} integers with '{}' between them", count, separator),
         low,
         high,
         text == texts_.end() ? "nothing" : "'" + text->second + "'");
  }

 private:
  const std::map<std::string, std::string>& texts_;
  std::string origin_;
};

RecordedShape ShapeOf(const Texts& texts) {
  RecordedShape shape;
  shape.model = texts.Text("model", "");
  const std::vector<std::int64_t> grid = texts.Numbers("grid", ',', 3, 1, kMaxSide);
  shape.grid = {static_cast<int>(grid[0]), static_cast<int>(grid[1]), static_cast<int>(grid[2])};
  shape.text_tokens = texts.Int("text_tokens", 0, kMaxTokens);
  const std::vector<std::int64_t> block = texts.Numbers("block", 'x', 2, 1, kMaxSide);
  shape.block = {static_cast<int>(block[0]), static_cast<int>(block[1])};
  shape.steps = static_cast<int>(texts.Int("steps", 1, kMaxSide));
  shape.passes = static_cast<int>(texts.Int("passes", 1, 2));
  shape.layers = texts.Maybe("layers");
  shape.heads = texts.Maybe("heads");
  shape.head_dim = texts.Maybe("head_dim");
  return shape;
}

[[noreturn]] void Corrupt(const Recording& recording,
                          const char* array,
                          const std::string& sentence) {
  Fail(ErrorCode::kCorruptInput, "{}: array '{}': {}", recording.path.string(), array, sentence);
}

/// Requires bits of masks of the shape's blocks, and no bit behind the last block of a row.
void CheckBits(const Recording& recording) {
  const RecordedShape& shape = recording.shape;
  const AttentionShape blocks{1, 1, shape.tokens(), shape.block};
  const std::int64_t wide = (blocks.k_blocks() + 7) / 8;
  const std::vector<std::int64_t>& found = recording.bits.shape;
  const bool fits = recording.bits.type == ArrayType::kU1 && found.size() == 3 &&
                    found[1] == blocks.q_blocks() && found[2] == wide;
  if (!fits) {
    Corrupt(recording,
            "mask_bits",
            fmt::format("{} {}, expected u1 [n, {}, {}], bits of {} x {} blocks",
                        NameOf(recording.bits.type),
                        ShapeText(found),
                        blocks.q_blocks(),
                        wide,
                        blocks.q_blocks(),
                        blocks.k_blocks()));
  }
  const int used = blocks.k_blocks() % 8;
  if (used == 0) return;
  for (std::int64_t row = 0; row < found[0] * found[1]; ++row) {
    const auto last = static_cast<unsigned char>(
        recording.bits.bytes[static_cast<std::size_t>((row + 1) * wide - 1)]);
    if (last >> used == 0) continue;
    Corrupt(recording,
            "mask_bits",
            fmt::format("row {} of mask {} has a bit behind its {} blocks",
                        row % found[1],
                        row / found[1],
                        blocks.k_blocks()));
  }
}

std::vector<RecordedCell> CellsOf(const Recording& recording, const Array& array) {
  const bool integers = array.type == ArrayType::kI4 || array.type == ArrayType::kI8;
  if (!integers || array.shape.size() != 2 || array.shape[1] != 5) {
    Corrupt(recording,
            "cells",
            fmt::format("{} {}, expected i4 [n, 5]: step, layer, pass, head, mask",
                        NameOf(array.type),
                        ShapeText(array.shape)));
  }
  const RecordedShape& shape = recording.shape;
  const std::array<const char*, 5> names{"step", "layer", "pass", "head", "mask"};
  const std::array<std::int64_t, 5> limits{shape.steps,
                                           shape.layers.value_or(kMaxSide),
                                           shape.passes,
                                           shape.heads.value_or(kMaxSide),
                                           recording.bits.shape[0]};
  std::vector<RecordedCell> cells;
  for (std::int64_t row = 0; row < array.shape[0]; ++row) {
    std::array<int, 5> numbers{};
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      const std::int64_t number = array.Int(5 * row + static_cast<std::int64_t>(i));
      if (number < 0 || number >= limits[i]) {
        Corrupt(
            recording,
            "cells",
            fmt::format("row {}: {} {}, expected less than {}", row, names[i], number, limits[i]));
      }
      numbers[i] = static_cast<int>(number);
    }
    cells.push_back({numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]});
  }
  return cells;
}

/// Tokens of the tiles that are padding.
std::int64_t PaddingOf(const Recording& recording, const Array& tiles) {
  const RecordedShape& shape = recording.shape;
  const AttentionShape blocks{1, 1, shape.tokens(), shape.block};
  std::int64_t valid = 0;
  bool good = tiles.size() == blocks.k_blocks();
  for (std::int64_t i = 0; good && i < tiles.size(); ++i) {
    good = tiles.Int(i) >= 0 && tiles.Int(i) <= shape.block.k;
    valid += tiles.Int(i);
  }
  if (good) return shape.tokens() - valid;
  Corrupt(recording,
          "variable_block_sizes",
          fmt::format("expected {} sizes from 0 to {}", blocks.k_blocks(), shape.block.k));
}

}  // namespace

bool IsRecording(const std::filesystem::path& path) {
  const auto texts = SafetensorsMetadata(path);
  const auto format = texts.find("format");
  return format != texts.end() && format->second.starts_with("dbsp.recording/");
}

Recording ReadRecording(const std::filesystem::path& path) {
  Recording recording;
  recording.path = path;
  recording.texts = SafetensorsMetadata(path);
  const Texts texts(recording.texts, path.string());
  if (const std::string format = texts.Text("format", ""); format != kFormat) {
    Fail(
        ErrorCode::kCorruptInput,
        "{}: metadata 'format': expected '{}', found '{}'; it is no file of dbsp's recorder, or of "
        "another version",
        path.string(),
        kFormat,
        format);
  }
  recording.shape = ShapeOf(texts);
  recording.prompt = texts.Text("prompt", "");
  recording.rank = static_cast<int>(texts.Int("rank", 0, kMaxSide));
  if (recording.shape.tokens() > kMaxTokens) {
    Fail(ErrorCode::kCorruptInput,
         "{}: metadata 'grid': {} tokens, expected at most {}",
         path.string(),
         recording.shape.tokens(),
         kMaxTokens);
  }
  recording.bits = LoadArray(path, "mask_bits");
  CheckBits(recording);
  recording.cells = CellsOf(recording, LoadArray(path, "cells"));
  for (const ArrayInfo& array : ListArrays(path)) {
    if (array.name != "variable_block_sizes") continue;
    recording.padding = PaddingOf(recording, LoadArray(path, array.name));
  }
  return recording;
}

}  // namespace dbsp::planner
