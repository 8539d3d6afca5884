// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/recording_merge.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <unordered_map>

#include "core/error.h"
#include "core/file.h"
#include "core/workload.h"
#include "core/workload_cells.h"
#include "planner/workload/mask_source.h"
#include "planner/workload/presets.h"

namespace dbsp::planner {
namespace {

std::string Shown(const Recording& recording, const std::string& key) {
  const auto found = recording.texts.find(key);
  return found == recording.texts.end() ? "nothing" : "'" + found->second + "'";
}

/// The model of the recordings; sizes that nobody states are those that were recorded.
ModelShape ModelOf(const std::vector<Recording>& recordings, std::vector<std::string>& notes) {
  const RecordedShape& shape = recordings.front().shape;
  const std::vector<std::string> presets = ModelPresets();
  const bool known = std::ranges::find(presets, shape.model) != presets.end();
  const ModelShape preset = known ? ModelPreset(shape.model) : ModelShape{};
  int layers = 1;
  int heads = 1;
  for (const Recording& recording : recordings) {
    for (const RecordedCell& cell : recording.cells) {
      layers = std::max(layers, cell.layer + 1);
      heads = std::max(heads, cell.head + 1);
    }
  }
  ModelShape model = preset;
  model.name = shape.model.empty() ? "recorded" : shape.model;
  const auto choose =
      [&](const char* what, std::optional<int> stated, int of_preset, int seen) -> int {
    if (stated) return *stated;
    if (known) return of_preset;
    notes.push_back(fmt::format("{} {}: as many as were recorded", seen, what));
    return seen;
  };
  model.layers = choose("layers", shape.layers, preset.layers, layers);
  model.heads = choose("heads", shape.heads, preset.heads, heads);
  if (!known && !shape.head_dim) {
    notes.push_back(fmt::format("head dimension {}: no recording states it", preset.head_dim));
  }
  model.head_dim = shape.head_dim.value_or(preset.head_dim);
  model.grid = shape.grid;
  model.text_tokens = shape.text_tokens;
  model.steps = shape.steps;
  if (!known || shape.passes > 1) model.passes = shape.passes;
  if (known && model != preset) model.name += " (changed)";
  return model;
}

/// Distinct masks, by the hash of their bits.
class Masks {
 public:
  int Add(std::string bits) {
    const auto [at, fresh] = numbers_.try_emplace(HashBytes(bits), static_cast<int>(count_));
    if (fresh) {
      bytes_ += bits;
      ++count_;
    }
    return at->second;
  }
  [[nodiscard]] Array Take(std::int64_t rows, std::int64_t wide) {
    return {ArrayType::kU1, {count_, rows, wide}, std::move(bytes_)};
  }

 private:
  std::unordered_map<std::string, int> numbers_;
  std::string bytes_;
  std::int64_t count_ = 0;
};

/// Numbers of the masks of all places; -1 for a place without one.
struct Places {
  explicit Places(const ModelShape& model, int all_passes)
      : layers(model.layers), passes(all_passes), heads(model.heads) {
    numbers.assign(static_cast<std::size_t>(model.steps) * layers * passes * heads, -1);
  }
  [[nodiscard]] std::size_t At(const RecordedCell& cell) const {
    return ((static_cast<std::size_t>(cell.step) * layers + cell.layer) * passes + cell.pass) *
               heads +
           cell.head;
  }
  [[nodiscard]] std::string Name(std::size_t at) const {
    const std::size_t row = at / heads;
    return fmt::format("step {}, layer {}, pass {}, head {}",
                       row / passes / layers,
                       row / passes % layers,
                       row % passes,
                       at % heads);
  }

  std::size_t layers;
  std::size_t passes;
  std::size_t heads;
  std::vector<std::int32_t> numbers;
};

/// The recording that holds the cell first. requires that one does
const Recording& OwnerOf(const std::vector<Recording>& recordings, const RecordedCell& cell) {
  return *std::ranges::find_if(recordings, [&](const Recording& recording) {
    return std::ranges::any_of(recording.cells, [&](const RecordedCell& other) {
      return other.step == cell.step && other.layer == cell.layer && other.pass == cell.pass &&
             other.head == cell.head;
    });
  });
}

void AddRecording(const std::vector<Recording>& recordings,
                  const Recording& recording,
                  const ModelShape& model,
                  Masks& masks,
                  Places& places) {
  const std::size_t bytes =
      static_cast<std::size_t>(recording.bits.shape[1] * recording.bits.shape[2]);
  std::vector<int> numbers(static_cast<std::size_t>(recording.bits.shape[0]), -1);
  for (const RecordedCell& cell : recording.cells) {
    if (cell.layer >= model.layers || cell.head >= model.heads) {
      Fail(ErrorCode::kCorruptInput,
           "{}: array 'cells': layer {}, head {}: expected less than {} layers and {} heads of "
           "model '{}'",
           recording.path.string(),
           cell.layer,
           cell.head,
           model.layers,
           model.heads,
           model.name);
    }
    const auto mask = static_cast<std::size_t>(cell.mask);
    if (numbers[mask] < 0)
      numbers[mask] = masks.Add(recording.bits.bytes.substr(mask * bytes, bytes));
    std::int32_t& place = places.numbers[places.At(cell)];
    if (place >= 0 && place != numbers[mask]) {
      Fail(ErrorCode::kMismatch,
           "{}: {}: the mask differs from that of {}; merge the files of one run, with every head "
           "on one rank",
           recording.path.string(),
           places.Name(places.At(cell)),
           OwnerOf(recordings, cell).path.string());
    }
    place = numbers[mask];
  }
}

/// Bits of a mask with every block.
std::string FullMask(std::int64_t rows, std::int64_t cols) {
  std::string row(static_cast<std::size_t>((cols + 7) / 8), '\xff');
  if (cols % 8 != 0) row.back() = static_cast<char>((1 << cols % 8) - 1);
  std::string bits;
  for (std::int64_t i = 0; i < rows; ++i) bits += row;
  return bits;
}

/// Gives (step, layer, pass) without any mask dense ones, or refuses. Refuses other gaps.
void FillMissing(const Recording& first,
                 MissingCells missing,
                 const AttentionShape& blocks,
                 Masks& masks,
                 Places& places,
                 std::vector<std::string>& notes) {
  std::size_t lacking = 0;  // masks
  std::size_t partial = 0;  // cells that lack some heads
  std::size_t empty = 0;  // cells that lack all heads
  std::optional<std::size_t> gap;  // the first of a partial cell, else of all
  for (std::size_t at = 0; at < places.numbers.size(); at += places.heads) {
    const auto row = std::span(places.numbers).subspan(at, places.heads);
    const auto holes = static_cast<std::size_t>(std::ranges::count(row, -1));
    if (holes == 0) continue;
    lacking += holes;
    const bool whole = holes == places.heads;
    const auto hole = static_cast<std::size_t>(std::ranges::find(row, -1) - row.begin());
    if (!gap || (!whole && partial == 0)) gap = at + hole;
    (whole ? empty : partial) += 1;
  }
  if (!gap) return;
  if (partial == 0 && missing == MissingCells::kDense) {
    const int number = masks.Add(FullMask(blocks.q_blocks(), blocks.k_blocks()));
    std::ranges::replace(places.numbers, -1, number);
    notes.push_back(fmt::format(
        "{} of {} (step, layer, pass) have no mask and are taken as dense, as --missing dense says",
        empty,
        places.numbers.size() / places.heads));
    return;
  }
  Fail(ErrorCode::kMismatch,
       "{}: {} of {} masks are missing, for example {}; {}",
       first.prompt.empty() ? first.path.parent_path().string()
                            : fmt::format("prompt '{}'", first.prompt),
       lacking,
       places.numbers.size(),
       places.Name(*gap),
       partial > 0 ? "merge the files of all ranks"
                   : "record every step and layer, or take those without any mask as dense with "
                     "--missing dense");
}

void DescribeRecordings(const std::vector<Recording>& recordings, std::vector<std::string>& notes) {
  const Recording& first = recordings.front();
  std::set<int> ranks;
  for (const Recording& recording : recordings) ranks.insert(recording.rank);
  std::string text = fmt::format("{} files of {} ranks", recordings.size(), ranks.size());
  for (const auto& [key, words] :
       {std::pair{"runtime", "runtime "}, {"token_order", "tokens in order "}}) {
    const auto found = first.texts.find(key);
    if (found != first.texts.end() && !found->second.empty()) {
      text += fmt::format(", {}'{}'", words, found->second);
    }
  }
  notes.push_back(text);
  if (first.padding > 0) {
    notes.push_back(fmt::format("{} of {} tokens are padding of tiles, which the workload counts",
                                first.padding,
                                first.shape.tokens()));
  }
}

}  // namespace

void RequireEqualTexts(const Recording& recording, const Recording& other) {
  std::set<std::string> keys;
  for (const Recording* one : {&recording, &other}) {
    for (const auto& [key, text] : one->texts) keys.insert(key);
  }
  for (const std::string& key : keys) {
    if (key == "rank" || key == "prompt") continue;
    const std::string found = Shown(recording, key);
    const std::string expected = Shown(other, key);
    if (found == expected) continue;
    Fail(ErrorCode::kMismatch,
         "{}: metadata '{}' is {}, but {} in {}; merge the files of one model and run",
         recording.path.string(),
         key,
         found,
         expected,
         other.path.string());
  }
}

MergedMasks MergeRecordings(const std::vector<Recording>& recordings, MissingCells missing) {
  const Recording& first = recordings.front();
  for (const Recording& recording : recordings) RequireEqualTexts(recording, first);
  MergedMasks merged;
  DescribeRecordings(recordings, merged.notes);
  merged.model = ModelOf(recordings, merged.notes);
  merged.block = first.shape.block;
  const ModelShape& model = merged.model;
  if (const Status size = CheckSize(model); !size.ok()) {
    Fail(ErrorCode::kCorruptInput, "{}: {}", first.path.string(), size.message());
  }
  Workload workload;
  workload.model = model;
  workload.block = merged.block;
  RequireBlockLimit(workload);
  const AttentionShape blocks = workload.shape();
  Masks masks;
  Places places(model, first.shape.passes);
  for (const Recording& recording : recordings) {
    AddRecording(recordings, recording, model, masks, places);
  }
  FillMissing(first, missing, blocks, masks, places, merged.notes);
  merged.bits = masks.Take(blocks.q_blocks(), (blocks.k_blocks() + 7) / 8);
  merged.index =
      MakeArray(ArrayType::kI4, {model.steps, model.layers, first.shape.passes, model.heads});
  std::memcpy(merged.index.bytes.data(), places.numbers.data(), merged.index.bytes.size());
  merged.notes.push_back(fmt::format(
      "{} masks, {} of them distinct", places.numbers.size(), merged.bits.shape.front()));
  return merged;
}

}  // namespace dbsp::planner
