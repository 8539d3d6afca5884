// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <charconv>
#include <map>

#include "core/error.h"
#include "core/json.h"
#include "planner/workload/rules/bytes.h"
#include "planner/workload/rules/sta.h"

namespace dbsp::planner {
namespace {

constexpr int kMaxSide = 65535;
constexpr std::size_t kMaxEntries = 65535;
const std::string kRuleName = "sta";

/// "3_12_7" as three numbers.
std::array<int, 3> ParseKey(const std::string& key, const std::string& origin) {
  std::array<int, 3> numbers{};
  const char* at = key.data();
  const char* end = at + key.size();
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const auto [stop, problem] = std::from_chars(at, end, numbers[i]);
    const bool last = i + 1 == numbers.size();
    const bool good = problem == std::errc() && numbers[i] >= 0 &&
                      (last ? stop == end : stop != end && *stop == '_');
    if (!good) {
      Fail(ErrorCode::kCorruptInput, "{}: key '{}': expected STEP_LAYER_HEAD", origin, key);
    }
    at = last ? stop : stop + 1;
  }
  return numbers;
}

StaWindow ParseWindow(const JsonView& view) {
  if (view.size() != 3) view.Wrong("[t, h, w] in tiles");
  return {static_cast<int>(view[0].Int(1, kMaxSide)),
          static_cast<int>(view[1].Int(1, kMaxSide)),
          static_cast<int>(view[2].Int(1, kMaxSide))};
}

/// Requires every (step, layer, head) of the model exactly once and no other.
void RequireCompleteGrid(const std::map<std::array<int, 3>, StaWindow>& entries,
                         const std::string& origin,
                         const ModelShape& model) {
  const std::array<int, 3> size{model.steps, model.layers, model.heads};
  std::array<std::int64_t, 3> found{};
  std::string outside;  // the first key that the model does not have
  for (const auto& [key, window] : entries) {
    for (std::size_t i = 0; i < 3; ++i) {
      found[i] = std::max(found[i], std::int64_t{key[i]} + 1);
      if (key[i] < size[i] || !outside.empty()) continue;
      outside = fmt::format("key '{}_{}_{}' is outside the model; ", key[0], key[1], key[2]);
    }
  }
  if (found != std::array<std::int64_t, 3>{model.steps, model.layers, model.heads}) {
    Fail(ErrorCode::kMismatch,
         "{}: {}the file holds {} steps x {} layers x {} heads, the model '{}' has {} x {} x {}",
         origin,
         outside,
         found[0],
         found[1],
         found[2],
         model.name,
         model.steps,
         model.layers,
         model.heads);
  }
  for (int s = 0; s < size[0]; ++s) {
    for (int l = 0; l < size[1]; ++l) {
      for (int h = 0; h < size[2]; ++h) {
        if (entries.contains({s, l, h})) continue;
        Fail(ErrorCode::kCorruptInput, "{}: key '{}_{}_{}' is missing", origin, s, l, h);
      }
    }
  }
}

/// Index of `item`, which is added to `items` if it is new.
template <typename T>
std::uint16_t IndexOf(const T& item,
                      std::map<T, std::uint16_t>& known,
                      std::vector<T>& items,
                      const std::string& origin) {
  const auto found = known.find(item);
  if (found != known.end()) return found->second;
  if (items.size() >= kMaxEntries) {
    Fail(ErrorCode::kCorruptInput,
         "{}: more than {} different windows or rows",
         origin,
         kMaxEntries);
  }
  const auto index = static_cast<std::uint16_t>(items.size());
  known.emplace(item, index);
  items.push_back(item);
  return index;
}

}  // namespace

StaTable ParseStaTable(const std::string& text,
                       const std::string& origin,
                       const ModelShape& model) {
  const Json json = ParseJson(text, origin);
  const JsonView view(json, origin);
  if (!json.is_object() || json.empty()) view.Wrong("an object of \"STEP_LAYER_HEAD\": [t, h, w]");
  std::map<std::array<int, 3>, StaWindow> entries;
  for (const auto& [key, value] : json.items()) {
    if (!entries.emplace(ParseKey(key, origin), ParseWindow(view[key])).second) {
      Fail(ErrorCode::kCorruptInput, "{}: key '{}': the cell is given twice", origin, key);
    }
  }
  RequireCompleteGrid(entries, origin, model);

  StaTable table;
  table.heads = model.heads;
  std::map<StaWindow, std::uint16_t> known_windows;
  std::map<std::vector<std::uint16_t>, std::uint16_t> known_rows;
  std::vector<std::vector<std::uint16_t>> rows;
  std::vector<std::uint16_t> row;
  for (const auto& [key, window] : entries) {  // ordered by step, layer, head
    row.push_back(IndexOf(window, known_windows, table.windows, origin));
    if (row.size() < static_cast<std::size_t>(model.heads)) continue;
    table.row_of.push_back(IndexOf(row, known_rows, rows, origin));
    row.clear();
  }
  for (const auto& r : rows) table.row_window.insert(table.row_window.end(), r.begin(), r.end());
  return table;
}

std::string StaTableToBlob(const StaTable& table) {
  std::string blob;
  AppendNumber(blob, static_cast<std::uint16_t>(table.windows.size()));
  for (const StaWindow& window : table.windows) {
    for (const int side : {window.frames, window.height, window.width}) {
      AppendNumber(blob, static_cast<std::uint16_t>(side));
    }
  }
  const std::size_t rows = table.row_window.size() / static_cast<std::size_t>(table.heads);
  AppendNumber(blob, static_cast<std::uint16_t>(rows));
  for (const std::uint16_t window : table.row_window) AppendNumber(blob, window);
  for (const std::uint16_t row : table.row_of) AppendNumber(blob, row);
  return blob;
}

StaTable StaTableFromBlob(const std::string& blob, const ModelShape& model) {
  BlobReader reader(kRuleName, blob);
  StaTable table;
  table.heads = model.heads;
  const std::size_t windows = reader.Take<std::uint16_t>();
  for (std::size_t i = 0; i < windows; ++i) {
    StaWindow window;
    for (int* side : {&window.frames, &window.height, &window.width}) {
      *side = reader.Take<std::uint16_t>();
      if (*side == 0) reader.Wrong("a window side is 0");
    }
    table.windows.push_back(window);
  }
  const std::size_t rows = reader.Take<std::uint16_t>();
  for (std::size_t i = 0; i < rows * static_cast<std::size_t>(model.heads); ++i) {
    table.row_window.push_back(reader.TakeBelow<std::uint16_t>(windows));
  }
  const std::int64_t cells = static_cast<std::int64_t>(model.steps) * model.layers;
  for (std::int64_t cell = 0; cell < cells; ++cell) {
    table.row_of.push_back(reader.TakeBelow<std::uint16_t>(rows));
  }
  reader.ExpectEnd();
  return table;
}

}  // namespace dbsp::planner
