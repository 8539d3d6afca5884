// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/rules/density_table.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <string_view>
#include <utility>

#include "core/arrays/array.h"
#include "core/arrays/csv.h"
#include "core/error.h"
#include "core/json.h"

namespace dbsp::planner {
namespace {

constexpr const char* kColumns = "Step,Layer,Head,Sparsity";
/// Largest index that is read. Sizes beyond those of the model are refused with their number.
constexpr std::int64_t kMaxIndex = std::int64_t{1} << 53;

struct Sizes {
  std::int64_t steps = 0;
  std::int64_t layers = 0;
  std::int64_t heads = 0;
};

void RequireModelSizes(const std::string& where, const Sizes& found, const ModelShape& model) {
  if (found.steps == model.steps && found.layers == model.layers && found.heads == model.heads) {
    return;
  }
  Fail(ErrorCode::kMismatch,
       "{}: the file holds {} steps x {} layers x {} heads, the model '{}' has {} x {} x {}; "
       "--steps, --layers and --heads set them",
       where,
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
  std::int64_t line = 0;  ///< of the file
  std::array<std::int64_t, 3> index{};  ///< step, layer, head, from 0
  double density = 0;
};

double MeanOf(const std::vector<Row>& rows) {
  double sum = 0;
  for (const Row& row : rows) sum += row.density;
  return rows.empty() ? 0 : sum / static_cast<double>(rows.size());
}

/// What messages call the three indices: "column 2 (Layer)", for example.
using IndexNames = std::array<std::string, 3>;

/// Requires indices within the model, and that every size of the model occurs.
void RequireSizesOfRows(const std::vector<Row>& rows,
                        const std::string& origin,
                        const IndexNames& names,
                        const ModelShape& model) {
  if (rows.empty()) Fail(ErrorCode::kCorruptInput, "{}: line 1: holds no density", origin);
  const std::array<std::int64_t, 3> size{model.steps, model.layers, model.heads};
  std::array<std::int64_t, 3> found{};
  std::string where;
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < 3; ++i) {
      found[i] = std::max(found[i], row.index[i] + 1);
      if (row.index[i] < size[i] || !where.empty()) continue;
      where = fmt::format("{}: line {}, {} is outside the model", origin, row.line, names[i]);
    }
  }
  RequireModelSizes(where.empty() ? origin : where, {found[0], found[1], found[2]}, model);
}

/// Counts of all cells. Every cell has exactly one row, but a dense one may have none.
/// step_base  number of the first step in messages
DensityCounts CountsOf(const std::vector<Row>& rows,
                       const std::string& origin,
                       std::int64_t last_line,
                       int step_base,
                       const IndexNames& names,
                       const RuleContext& context) {
  const ModelShape& model = context.model;
  const AttentionShape shape = context.shape();
  RequireSizesOfRows(rows, origin, names, model);
  const std::int64_t layers = model.layers;
  const std::int64_t heads = model.heads;
  std::vector<const Row*> cells(static_cast<std::size_t>(model.steps * layers * heads));
  for (const Row& row : rows) {
    const auto [step, layer, head] = row.index;
    const Row*& cell = cells[static_cast<std::size_t>((step * layers + layer) * heads + head)];
    if (cell != nullptr) {
      Fail(ErrorCode::kCorruptInput,
           "{}: line {}, column 1: step {}, layer {}, head {} is given twice, first in line {}",
           origin,
           row.line,
           step + step_base,
           layer,
           head,
           cell->line);
    }
    cell = &row;
  }
  DensityCounts counts;
  std::int64_t absent = 0;
  std::int64_t unused = 0;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::int64_t step = static_cast<std::int64_t>(i) / heads / layers;
    const std::int64_t layer = static_cast<std::int64_t>(i) / heads % layers;
    const bool dense = step < context.dense.steps || layer < context.dense.layers;
    if (cells[i] == nullptr && !dense) {
      Fail(ErrorCode::kCorruptInput,
           "{}: line {}, column 1: step {}, layer {}, head {} is missing; every cell must have a "
           "value, but "
           "those of the first dense_steps={} steps and dense_layers={} layers",
           origin,
           last_line,
           step + step_base,
           layer,
           static_cast<std::int64_t>(i) % heads,
           context.dense.steps,
           context.dense.layers);
    }
    absent += cells[i] == nullptr ? 1 : 0;
    unused += cells[i] != nullptr && dense ? 1 : 0;
    counts.push_back(CountOf(cells[i] == nullptr ? 1.0 : cells[i]->density, shape));
  }
  if (absent > 0) {
    context.Note(fmt::format("{}: {} of {} (step, layer) cells are not in the file; they are dense",
                             origin,
                             absent / heads,
                             model.steps * layers));
  }
  if (unused > 0) {
    context.Note(
        fmt::format("{}: values of {} (step, layer) cells are not used, because "
                    "dense_steps={} and dense_layers={} make these cells dense",
                    origin,
                    unused / heads,
                    context.dense.steps,
                    context.dense.layers));
  }
  return counts;
}

std::string_view TakeLine(std::string_view& text) {
  const std::size_t newline = text.find('\n');
  std::string_view line = text.substr(0, newline);
  text.remove_prefix(newline == std::string_view::npos ? text.size() : newline + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

/// One list of densities of the log.
struct LogEntry {
  std::int64_t line = 0;
  std::size_t timestep = 0;  ///< index into LogFile::timesteps
  std::int64_t layer = 0;
  std::int64_t pass = 0;
  std::vector<double> heads;
};

struct LogFile {
  std::vector<double> timesteps;  ///< in the order of appearance
  std::vector<LogEntry> entries;
  std::int64_t passes = 0;
  std::int64_t last_line = 1;
};

LogFile ReadLog(std::string_view rest, const std::string& origin, const ModelShape& model) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (rest.starts_with(kByteOrderMark)) rest.remove_prefix(kByteOrderMark.size());
  LogFile log;
  std::map<double, std::size_t> step_of;
  struct Seen {
    std::int64_t lines = 0;
    std::int64_t passes = 0;
  };
  std::map<std::pair<std::size_t, std::int64_t>, Seen> seen;  // by timestep and layer
  for (std::int64_t number = 1; !rest.empty(); ++number) {
    const std::string_view text = TakeLine(rest);
    if (text.find_first_not_of(" \t") == std::string_view::npos) continue;
    log.last_line = number;
    const std::string where = fmt::format("{}: line {}", origin, number);
    const Json json = ParseJson(text, where);
    const JsonView line(json, where);
    const double timestep = line["timestep"].Number();
    const auto [step, added] = step_of.try_emplace(timestep, log.timesteps.size());
    if (added) log.timesteps.push_back(timestep);
    const std::int64_t layer = line["layer"].Int(0, kMaxIndex);
    Seen& cell = seen[{step->second, layer}];
    if (++cell.lines > model.passes) {
      Fail(ErrorCode::kCorruptInput,
           "{}: timestep {}, layer {} has {} lines, but the model has {} {} (the n-th line of a "
           "cell is pass n); --passes sets their number",
           where,
           timestep,
           layer,
           cell.lines,
           model.passes,
           model.passes == 1 ? "pass" : "passes");
    }
    const JsonView lists = line["density"];
    if (lists.size() == 0) lists.Wrong("at least one list of densities");
    for (const JsonView& list : lists.Items()) {
      LogEntry entry{number, step->second, layer, cell.passes++, {}};
      for (const JsonView& head : list.Items()) entry.heads.push_back(head.Number(0, 1));
      log.passes = std::max(log.passes, cell.passes);
      log.entries.push_back(std::move(entry));
    }
  }
  for (const auto& [cell, found] : seen) {
    if (found.passes == log.passes) continue;
    Fail(ErrorCode::kCorruptInput,
         "{}: line {}: timestep {}, layer {} has {} of {} passes; the log is not complete",
         origin,
         log.last_line,
         log.timesteps[cell.first],
         cell.second,
         found.passes,
         log.passes);
  }
  return log;
}

/// Step of the log's first timestep.
std::int64_t FirstStep(const LogFile& log, const std::string& origin, const RuleContext& context) {
  const auto steps = static_cast<std::int64_t>(log.timesteps.size());
  const ModelShape& model = context.model;
  if (steps == model.steps) return 0;
  if (steps + context.dense.steps == model.steps) return context.dense.steps;
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  for (const LogEntry& entry : log.entries) {
    layers = std::max(layers, entry.layer + 1);
    heads = std::max(heads, static_cast<std::int64_t>(entry.heads.size()));
  }
  Fail(ErrorCode::kMismatch,
       "{}: holds {} steps x {} layers x {} heads, the model '{}' has {} x {} x {}, of which the "
       "first {} steps are dense; --steps, --layers and --heads set them; dense_steps= (or "
       "first_times=) says how many first steps the log lacks",
       origin,
       steps,
       layers,
       heads,
       model.name,
       model.steps,
       model.layers,
       model.heads,
       context.dense.steps);
}

void NotePasses(const LogFile& log,
                const std::string& origin,
                std::int64_t pass,
                const RuleContext& context) {
  if (log.passes > 1) {
    context.Note(
        fmt::format("{}: holds densities of {} guidance passes; those of pass {} are used for all "
                    "passes of the model (pass= chooses)",
                    origin,
                    log.passes,
                    pass));
  } else if (context.model.passes > 1) {
    context.Note(
        fmt::format("{}: holds densities of one guidance pass; they are used for all {} passes of "
                    "the model",
                    origin,
                    context.model.passes));
  }
}

}  // namespace

DensityCounts DensityFromCsv(const std::string& text,
                             const std::string& origin,
                             const RuleContext& context) {
  CsvReader reader(text, origin);
  constexpr std::array kIndices{"Step", "Layer", "Head"};
  std::array<std::size_t, 3> columns{};
  for (std::size_t i = 0; i < 3; ++i) columns[i] = reader.Column(kIndices[i], kColumns);
  const std::size_t density = reader.Column("Sparsity", kColumns);
  std::vector<Row> rows;
  while (reader.Next()) {
    Row row{reader.line(), {}, 0};
    for (std::size_t i = 0; i < 3; ++i) {
      const int base = i == 0 ? 1 : 0;
      row.index[i] = reader.Int(columns[i], base, kMaxIndex) - base;
    }
    row.density = reader.Number(density, 0, 1);
    rows.push_back(row);
  }
  IndexNames names;
  for (std::size_t i = 0; i < 3; ++i) {
    names[i] = fmt::format("column {} ({})", columns[i] + 1, kIndices[i]);
  }
  DensityCounts counts = CountsOf(rows, origin, reader.line(), 1, names, context);
  std::string extra;
  for (std::size_t c = 0; c < reader.columns().size(); ++c) {
    if (c == density || std::find(columns.begin(), columns.end(), c) != columns.end()) continue;
    extra += fmt::format("{}'{}'", extra.empty() ? "" : ", ", reader.columns()[c]);
  }
  if (!extra.empty()) context.Note(fmt::format("{}: columns not used: {}", origin, extra));
  context.Note(
      fmt::format("{}: the column '{}' is read as the fraction of ACTIVE blocks, as in SVOO's "
                  "files (mean {:.4f})",
                  origin,
                  reader.columns()[density],
                  MeanOf(rows)));
  return counts;
}

DensityCounts DensityFromJsonLines(const std::string& text,
                                   const std::string& origin,
                                   std::int64_t pass,
                                   const RuleContext& context) {
  const LogFile log = ReadLog(text, origin, context.model);
  if (log.entries.empty()) {
    Fail(ErrorCode::kCorruptInput, "{}: line 1: holds no density", origin);
  }
  if (pass >= log.passes) {
    Fail(ErrorCode::kCorruptInput,
         "{}: line {}: holds {} guidance {}, expected entry {} (option 'pass')",
         origin,
         log.last_line,
         log.passes,
         log.passes == 1 ? "pass" : "passes",
         pass);
  }
  const std::int64_t first = FirstStep(log, origin, context);
  std::vector<Row> rows;
  for (const LogEntry& entry : log.entries) {
    if (entry.pass != pass) continue;
    const std::int64_t step = first + static_cast<std::int64_t>(entry.timestep);
    for (std::size_t head = 0; head < entry.heads.size(); ++head) {
      rows.push_back(
          {entry.line, {step, entry.layer, static_cast<std::int64_t>(head)}, entry.heads[head]});
    }
  }
  DensityCounts counts = CountsOf(
      rows, origin, log.last_line, 0, {"key 'timestep'", "key 'layer'", "key 'density'"}, context);
  NotePasses(log, origin, pass, context);
  return counts;
}

DensityCounts DensityFromArray(const std::filesystem::path& path,
                               std::int64_t total,
                               const RuleContext& context) {
  const AttentionShape shape = context.shape();
  const Array array = LoadArray(path);
  const std::string origin = path.string();
  if (array.shape.size() != 3) {
    Fail(ErrorCode::kCorruptInput,
         "{}: expected shape [steps, layers, heads], found {}",
         origin,
         ShapeText(array.shape));
  }
  RequireModelSizes(origin, {array.shape[0], array.shape[1], array.shape[2]}, context.model);
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
  double least = whole;
  double most = 0;
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
    least = std::min(least, value);
    most = std::max(most, value);
  }
  context.Note(fmt::format("{}: {} {}, values {} to {}, read as {}",
                           origin,
                           NameOf(array.type),
                           ShapeText(array.shape),
                           least,
                           most,
                           fractions
                               ? std::string("fractions of active blocks")
                               : fmt::format("active blocks of {}{}",
                                             whole,
                                             total == 0 ? " (total= sets another number)" : "")));
  return counts;
}

}  // namespace dbsp::planner
