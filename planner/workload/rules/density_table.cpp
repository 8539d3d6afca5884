// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/rules/density_table.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <string_view>
#include <utility>

#include "core/arrays/array.h"
#include "core/error.h"
#include "core/json.h"

namespace dbsp::planner {
namespace {

constexpr const char* kHeader = "Step,Layer,Head,Sparsity";
constexpr int kMaxIndex = 1 << 20;  ///< largest layer index in a log

struct Sizes {
  std::int64_t steps = 0;
  std::int64_t layers = 0;
  std::int64_t heads = 0;
};

void RequireModelSizes(const std::string& origin, const Sizes& found, const ModelShape& model) {
  if (found.steps == model.steps && found.layers == model.layers && found.heads == model.heads) {
    return;
  }
  Fail(ErrorCode::kMismatch,
       "{}: holds {} steps x {} layers x {} heads, the model '{}' has {} x {} x {}; --steps, "
       "--layers and --heads set them",
       origin,
       found.steps,
       found.layers,
       found.heads,
       model.name,
       model.steps,
       model.layers,
       model.heads);
}

std::uint32_t CountOf(double fraction, const AttentionShape& shape) {
  const double blocks = static_cast<double>(shape.q_blocks()) * shape.k_blocks();
  return static_cast<std::uint32_t>(std::llround(fraction * blocks));
}

/// Density of one head.
struct Row {
  std::array<int, 3> index{};  ///< step, layer, head
  double density = 0;
};

std::optional<Row> ParseRow(std::string_view line) {
  Row row;
  const char* at = line.data();
  const char* end = at + line.size();
  for (int& value : row.index) {
    const auto [stop, problem] = std::from_chars(at, end, value);
    if (problem != std::errc() || stop == end || *stop != ',') return std::nullopt;
    at = stop + 1;
  }
  row.index[0] -= 1;
  const auto [stop, problem] = std::from_chars(at, end, row.density);
  const bool inside = row.density >= 0 && row.density <= 1;  // false for NaN
  if (problem != std::errc() || stop != end || !inside) return std::nullopt;
  for (const int value : row.index) {
    if (value < 0) return std::nullopt;
  }
  return row;
}

std::string_view TakeLine(std::string_view& text) {
  const std::size_t newline = text.find('\n');
  std::string_view line = text.substr(0, newline);
  text.remove_prefix(newline == std::string_view::npos ? text.size() : newline + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

[[noreturn]] void WrongLine(const std::string& origin,
                            std::int64_t number,
                            const std::string& expected,
                            std::string_view found) {
  Fail(ErrorCode::kCorruptInput,
       "{}: line {}: expected {}, found '{}'",
       origin,
       number,
       expected,
       found.substr(0, 60));
}

std::vector<Row> ParseRows(std::string_view text, const std::string& origin) {
  std::vector<Row> rows;
  std::int64_t number = 1;
  const std::string_view header = TakeLine(text);
  if (header != kHeader) WrongLine(origin, number, fmt::format("'{}'", kHeader), header);
  while (!text.empty()) {
    const std::string_view line = TakeLine(text);
    ++number;
    const auto row = ParseRow(line);
    if (!row) WrongLine(origin, number, "step >= 1, layer, head, density from 0 to 1", line);
    rows.push_back(*row);
  }
  return rows;
}

/// Counts of all cells. Every cell must have exactly one row.
DensityCounts CountsOf(const std::vector<Row>& rows,
                       const std::string& origin,
                       const ModelShape& model,
                       const AttentionShape& shape) {
  Sizes found;
  for (const Row& row : rows) {
    found.steps = std::max<std::int64_t>(found.steps, row.index[0] + 1);
    found.layers = std::max<std::int64_t>(found.layers, row.index[1] + 1);
    found.heads = std::max<std::int64_t>(found.heads, row.index[2] + 1);
  }
  RequireModelSizes(origin, found, model);
  std::vector<std::optional<std::uint32_t>> cells(found.steps * found.layers * found.heads);
  for (const Row& row : rows) {
    const auto [step, layer, head] = row.index;
    auto& cell = cells[(step * found.layers + layer) * found.heads + head];
    if (cell) {
      Fail(ErrorCode::kCorruptInput,
           "{}: step {}, layer {}, head {} is given twice",
           origin,
           step + 1,
           layer,
           head);
    }
    cell = CountOf(row.density, shape);
  }
  DensityCounts counts;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (!cells[i]) {
      const auto heads = static_cast<std::size_t>(found.heads);
      const auto layers = static_cast<std::size_t>(found.layers);
      Fail(ErrorCode::kCorruptInput,
           "{}: step {}, layer {}, head {} is missing",
           origin,
           i / heads / layers + 1,
           i / heads % layers,
           i % heads);
    }
    counts.push_back(*cells[i]);
  }
  return counts;
}

/// Reads one line of the log: {"timestep": t, "layer": l, "density": [passes][heads], ...}. The
/// distinct timesteps in the order of appearance are the steps.
void AppendLogLine(const JsonView& line,
                   std::int64_t pass,
                   std::vector<double>& timesteps,
                   std::vector<Row>& rows) {
  const double timestep = line["timestep"].Number();
  const auto at = std::find(timesteps.begin(), timesteps.end(), timestep);
  const int step = static_cast<int>(at - timesteps.begin());
  if (at == timesteps.end()) timesteps.push_back(timestep);
  const int layer = static_cast<int>(line["layer"].Int(0, kMaxIndex));
  const JsonView passes = line["density"];
  if (std::cmp_greater_equal(pass, passes.size())) {
    passes.Wrong(fmt::format("a list with entry {} (option 'pass')", pass));
  }
  const JsonView heads = passes[pass];
  for (std::size_t head = 0; head < heads.size(); ++head) {
    rows.push_back({{step, layer, static_cast<int>(head)}, heads[head].Number(0, 1)});
  }
}

}  // namespace

DensityCounts DensityFromCsv(const std::string& text,
                             const std::string& origin,
                             const ModelShape& model,
                             const AttentionShape& shape) {
  return CountsOf(ParseRows(text, origin), origin, model, shape);
}

DensityCounts DensityFromJsonLines(const std::string& text,
                                   const std::string& origin,
                                   std::int64_t pass,
                                   const ModelShape& model,
                                   const AttentionShape& shape) {
  std::vector<Row> rows;
  std::vector<double> timesteps;
  std::string_view rest = text;
  for (std::int64_t number = 1; !rest.empty(); ++number) {
    const std::string_view line = TakeLine(rest);
    if (line.find_first_not_of(" \t") == std::string_view::npos) continue;
    const std::string where = fmt::format("{}: line {}", origin, number);
    const Json json = ParseJson(line, where);
    AppendLogLine(JsonView(json, where), pass, timesteps, rows);
  }
  return CountsOf(rows, origin, model, shape);
}

DensityCounts DensityFromArray(const std::filesystem::path& path,
                               std::int64_t total,
                               const ModelShape& model,
                               const AttentionShape& shape) {
  const Array array = LoadArray(path);
  const std::string origin = path.string();
  if (array.shape.size() != 3) {
    Fail(ErrorCode::kCorruptInput,
         "{}: expected shape [steps, layers, heads], found {}",
         origin,
         ShapeText(array.shape));
  }
  RequireModelSizes(origin, {array.shape[0], array.shape[1], array.shape[2]}, model);
  const bool fractions = array.type == ArrayType::kF2 || array.type == ArrayType::kBf16 ||
                         array.type == ArrayType::kF4 || array.type == ArrayType::kF8;
  if (array.type == ArrayType::kB1 || (fractions && total != 0)) {
    Fail(ErrorCode::kCorruptInput,
         "{}: expected integer counts{}, found type {}",
         origin,
         fractions ? " where total= is given" : " or float fractions",
         NameOf(array.type));
  }
  const double blocks = static_cast<double>(shape.q_blocks()) * shape.k_blocks();
  const double whole = fractions ? 1.0 : total == 0 ? blocks : static_cast<double>(total);
  DensityCounts counts;
  for (std::int64_t i = 0; i < array.size(); ++i) {
    const double value = array.Double(i);
    if (!(value >= 0 && value <= whole)) {
      Fail(ErrorCode::kCorruptInput,
           "{}: value {} at [{}, {}, {}]: expected 0 to {}{}",
           origin,
           value,
           i / array.shape[2] / array.shape[1],
           i / array.shape[2] % array.shape[1],
           i % array.shape[2],
           whole,
           fractions ? "" : " blocks; --block or total= sets how many there were");
    }
    counts.push_back(CountOf(value / whole, shape));
  }
  return counts;
}

}  // namespace dbsp::planner
