// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/mask_folder.h"

#include <algorithm>
#include <cctype>
#include <string_view>

#include "core/error.h"
#include "planner/workload/mask_flag.h"
#include "planner/workload/mask_source.h"

namespace dbsp::planner {
namespace {

bool IsDigit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }

/// The number that follows `word`, a separator or none between them.
std::optional<int> NumberAfter(std::string_view name, std::string_view word) {
  for (std::size_t at = name.find(word); at != std::string_view::npos;
       at = name.find(word, at + 1)) {
    std::string_view rest = name.substr(at + word.size());
    if (!rest.empty() && std::string_view("_-=").find(rest.front()) != std::string_view::npos) {
      rest.remove_prefix(1);
    }
    const auto end =
        static_cast<std::size_t>(std::ranges::find_if_not(rest, IsDigit) - rest.begin());
    if (end < 1 || end > 6) continue;
    return std::stoi(std::string(rest.substr(0, end)));
  }
  return std::nullopt;
}

/// Requires that all names have the number or none has, and that it is below `limit`.
void RequirePlaces(const std::vector<std::filesystem::path>& files,
                   const std::vector<FilePlace>& places,
                   std::optional<int> FilePlace::*part,
                   const char* what,
                   int limit) {
  const bool given = (places.front().*part).has_value();
  for (std::size_t f = 0; f < files.size(); ++f) {
    const std::optional<int>& number = places[f].*part;
    if (number.has_value() != given) {
      Fail(ErrorCode::kMismatch,
           "{}: the name has {} {} number, but that of {} has {}; name the files alike, for "
           "example step003_layer012_rank1.pt",
           files[f].string(),
           given ? "no" : "a",
           what,
           files.front().filename().string(),
           given ? "one" : "none");
    }
    if (number && *number >= limit) {
      Fail(ErrorCode::kMismatch,
           "{}: {} {}, expected less than {} of the model; check --steps, --layers and --passes",
           files[f].string(),
           what,
           *number,
           limit);
    }
  }
}

/// [begin, end) of the numbers that a file holds for.
std::pair<int, int> Span(const std::optional<int>& number, int all) {
  return number ? std::pair{*number, *number + 1} : std::pair{0, all};
}

/// Bits of the mask, eight blocks per byte.
std::string BitsOf(const BlockMask& mask) {
  const auto wide = static_cast<std::size_t>((mask.cols() + 7) / 8);
  std::string bits;
  for (int i = 0; i < mask.rows(); ++i) {
    for (std::size_t b = 0; b < wide; ++b) {
      bits += static_cast<char>(mask.row(i)[b / 8] >> (8 * (b % 8)) & 0xffU);
    }
  }
  return bits;
}

/// Masks of one file, as those of a rank.
class FileReader {
 public:
  FileReader(const std::string& options, const Workload& shape, int heads)
      : options_(options), workload_(shape) {
    workload_.model.heads = heads;
    workload_.model.steps = 1;
    workload_.model.layers = 1;
  }

  /// The masks of pass `pass` of the file, or of all passes.
  LayerMasks Read(const std::filesystem::path& path, int pass) {
    if (path != path_) {
      workload_.rules.clear();
      workload_.directory.clear();
      const std::string more = options_.empty() ? "" : "," + options_;
      static_cast<void>(ApplyMaskFlag("array:file=" + path.string() + more, workload_));
      path_ = path;
    }
    const std::unique_ptr<MaskSource> masks = OpenMasks(workload_, pass);
    queries_ = masks->FineQueriesAt(0, 0);
    return queries_ > 0 ? masks->FineAt(0, 0).bits : masks->At(0, 0);
  }
  /// Queries per list of single keys in the file that was read last; 0 for block masks.
  [[nodiscard]] int Queries() const { return queries_; }
  /// Whether the passes have masks of their own in the file that was read last.
  [[nodiscard]] bool OwnPasses() const { return PassesDiffer(workload_); }
  [[nodiscard]] std::vector<std::string> Describe() const {
    return OpenMasks(workload_)->Describe(0);
  }
  /// The line of Describe() that gives the axes with their sizes.
  [[nodiscard]] std::string Axes() const {
    const std::vector<std::string> lines = Describe();
    const auto found =
        std::ranges::find_if(lines, [](const auto& line) { return line.starts_with("axes "); });
    return found == lines.end() ? "" : *found;
  }

 private:
  std::string options_;
  Workload workload_;
  std::filesystem::path path_;
  int queries_ = 0;
};

}  // namespace

FilePlace PlaceOf(const std::filesystem::path& path) {
  std::string name = path.stem().string();
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  FilePlace place{NumberAfter(name, "step"),
                  NumberAfter(name, "layer"),
                  NumberAfter(name, "pass"),
                  NumberAfter(name, "rank")};
  for (const char* word : {"_r", "-r", ".r"}) {
    if (!place.rank) place.rank = NumberAfter(name, word);
  }
  return place;
}

std::vector<Recording> ReadMaskFolder(const std::vector<std::filesystem::path>& files,
                                      const std::string& options,
                                      const Workload& shape,
                                      std::vector<std::string>& notes,
                                      int& queries) {
  const ModelShape& model = shape.model;
  std::vector<FilePlace> places;
  int ranks = 1;
  for (const std::filesystem::path& file : files) {
    places.push_back(PlaceOf(file));
    ranks = std::max(ranks, places.back().rank.value_or(0) + 1);
  }
  RequirePlaces(files, places, &FilePlace::step, "step", model.steps);
  RequirePlaces(files, places, &FilePlace::layer, "layer", model.layers);
  RequirePlaces(files, places, &FilePlace::pass, "pass", model.passes);
  RequirePlaces(files, places, &FilePlace::rank, "rank", model.heads);
  if (model.heads % ranks != 0) {
    Fail(ErrorCode::kMismatch,
         "{}: {} heads over the {} ranks that the names have: expected equal shares; check --heads",
         files.front().parent_path().string(),
         model.heads,
         ranks);
  }
  const int heads = model.heads / ranks;
  FileReader reader(options, shape, heads);
  std::vector<Recording> recordings;
  static_cast<void>(reader.Read(files.front(), places.front().pass.value_or(0)));
  queries = reader.Queries();
  const BlockSize block = queries > 0 ? BlockSize{queries, 1} : shape.block;
  const std::string axes = reader.Axes();
  const bool own_passes = places.front().pass || reader.OwnPasses();
  const int passes = own_passes ? model.passes : 1;
  for (std::size_t f = 0; f < files.size(); ++f) {
    const FilePlace& place = places[f];
    Recording& recording = recordings.emplace_back();
    recording.path = files[f];
    recording.rank = place.rank.value_or(0);
    recording.shape = {model.name,
                       model.grid,
                       model.text_tokens,
                       block,
                       model.steps,
                       passes,
                       model.layers,
                       model.heads,
                       model.head_dim};
    std::string bits;
    int masks = 0;
    const auto [first_step, end_step] = Span(place.step, model.steps);
    const auto [first_layer, end_layer] = Span(place.layer, model.layers);
    const auto [first_pass, end_pass] = Span(place.pass, passes);
    for (int pass = first_pass; pass < end_pass; ++pass) {
      const LayerMasks layer = reader.Read(files[f], pass);
      for (int h = 0; h < heads; ++h, ++masks) {
        bits += BitsOf(*layer.head[static_cast<std::size_t>(h)]);
        for (int s = first_step; s < end_step; ++s) {
          for (int l = first_layer; l < end_layer; ++l) {
            recording.cells.push_back({s, l, pass, recording.rank * heads + h, masks});
          }
        }
      }
    }
    if (const std::string found = reader.Axes(); found != axes) {
      Fail(ErrorCode::kMismatch,
           "{}: {}; expected {}, as in {}",
           files[f].string(),
           found,
           axes,
           files.front().filename().string());
    }
    const AttentionShape blocks{model.heads, model.head_dim, model.tokens(), block};
    recording.bits = {
        ArrayType::kU1, {masks, blocks.q_blocks(), (blocks.k_blocks() + 7) / 8}, std::move(bits)};
    if (f > 0) continue;
    for (const std::string& line : reader.Describe()) {
      notes.push_back(files[f].filename().string() + ": " + line);
    }
  }
  if (ranks > 1) {
    notes.push_back(fmt::format("rank r holds heads {} r to {} r + {}", heads, heads, heads - 1));
  }
  const auto all = [&](std::optional<int> FilePlace::*part, const char* what, int count) {
    if ((places.front().*part).has_value() || count == 1) return;
    notes.push_back(
        fmt::format("no name has a {} number: each file holds for all {}s", what, what));
  };
  all(&FilePlace::step, "step", model.steps);
  all(&FilePlace::layer, "layer", model.layers);
  return recordings;
}

}  // namespace dbsp::planner
