// SPDX-License-Identifier: Apache-2.0
// Results of nccl-tests: its table, and the file of its flag -J. Sizes are those of the tests'
// PERFORMANCE.md; times are means over the iterations, out of place.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <sstream>

#include "core/error.h"
#include "db/import_formats.h"

namespace dbsp::db {
namespace {

constexpr const char* kMethod = "import.nccl-tests";
constexpr int kMaxRanks = 1 << 20;

std::vector<std::string> Words(const std::string& line) {
  std::istringstream stream(line);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(std::move(word));
  return words;
}

/// Ranks and devices of a run, and its current collective.
struct Setup {
  std::set<int> ranks;
  std::set<std::string> hosts;
  std::string device;
  std::string op;
  std::string iterations;
};

/// "#  Rank  0 Group  0 Pid 78 on HOST device  0 [0x07] NVIDIA A100-SXM4-80GB"
bool ReadRank(const std::vector<std::string>& words, Setup& setup) {
  if (words.size() < 4 || words[0] != "#" || words[1] != "Rank") return false;
  int rank = 0;
  const std::string& digits = words[2];
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), rank);
  if (parsed.ec != std::errc() || rank < 0 || rank >= kMaxRanks) return false;
  setup.ranks.insert(rank);
  const auto on = std::find(words.begin(), words.end(), "on");
  if (on != words.end() && on + 1 != words.end()) setup.hosts.insert(*(on + 1));
  const auto bracket = std::find_if(
      words.begin(), words.end(), [](const std::string& word) { return word.ends_with("]"); });
  if (bracket != words.end()) {
    std::string device;
    for (auto word = bracket + 1; word != words.end(); ++word) {
      device += (device.empty() ? "" : " ") + *word;
    }
    if (setup.device.empty()) setup.device = device;
  }
  return true;
}

/// Position of the columns, from the line "#  size  count  type  redop  root  time  algbw ...".
struct Columns {
  std::size_t after_time = 0;  ///< words from the first time to the end of the line
  std::size_t wrong = 0;  ///< words from the first column of errors to the end
};

/// Line without the prefix of mpirun --tag-output, "[1,0]<stdout>:".
std::string WithoutTag(const std::string& line) {
  const std::size_t end = line.find("<stdout>:");
  return line.starts_with("[") && end != std::string::npos ? line.substr(end + 9) : line;
}

Columns ColumnsOf(const std::vector<std::string>& words, const std::string& where) {
  const auto time = std::find(words.begin(), words.end(), "time");
  const auto wrong = std::find_if(words.begin(), words.end(), [](const std::string& word) {
    return word == "#wrong" || word == "error";
  });
  if (time == words.end() || wrong == words.end() || wrong < time ||
      std::find(time, wrong, "busbw") == wrong) {
    Fail(ErrorCode::kCorruptInput,
         "{}: columns '{}', expected size, time, algbw, busbw and #wrong; this is a version of "
         "nccl-tests that is not known, or it measured CPU times (-C)",
         where,
         fmt::join(words.begin() + 1, words.end(), " "));
  }
  const std::size_t stamp = words.back() == "timestamp" ? 1 : 0;  // has a space
  return {static_cast<std::size_t>(words.end() - time) + stamp,
          static_cast<std::size_t>(words.end() - wrong) + stamp};
}

void RequireSetup(const Setup& setup, const std::string& where) {
  if (setup.op.empty()) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: the file does not say which collective it measured; give --op (alltoall, sendrecv, "
         "all_gather, reduce_scatter, all_reduce)",
         where);
  }
  if (setup.ranks.size() < 2) {
    Fail(ErrorCode::kCorruptInput,
         "{}: {} ranks are listed before it, expected at least 2; one rank exchanges nothing",
         where,
         setup.ranks.size());
  }
}

Trial MakeTrial(const Setup& setup, std::int64_t size, std::vector<std::int64_t> samples, bool ok) {
  const int ranks = static_cast<int>(setup.ranks.size());
  Trial trial;
  trial.suite = "import";
  trial.config = ExchangeConfig{.op = setup.op,
                                .transport = "nccl",
                                .ranks = ranks,
                                .bytes_per_rank = BytesPerRank(setup.op, size, ranks),
                                .unevenness = 1,
                                .nodes = std::max(1, static_cast<int>(setup.hosts.size()))};
  trial.method = kMethod;
  trial.stop_reason = "imported";
  trial.samples_ns = std::move(samples);
  if (!ok) {
    trial.outcome = TrialOutcome::kWrong;
    trial.detail = "nccl-tests found wrong results";
  } else if (!setup.iterations.empty()) {
    trial.detail = "mean of " + setup.iterations + " calls";
  }
  return trial;
}

std::int64_t SizeOf(double value, const std::string& where) {
  if (value < 0 || value > 1e15 || value != static_cast<double>(static_cast<std::int64_t>(value))) {
    Fail(ErrorCode::kCorruptInput, "{}: {:g}, expected a number of bytes", where, value);
  }
  return static_cast<std::int64_t>(value);
}

Provenance MachineOf(const Setup& setup) {
  Provenance p;
  p.device_kind = "cuda";
  p.device_name = setup.device;
  p.host = fmt::format("{}", fmt::join(setup.hosts, ","));
  return p;
}

/// Reads a table line by line.
class TableReader {
 public:
  explicit TableReader(const ImportRequest& request) : request_(request) {
    setup_.op = OpOf(request.op);
  }

  ImportedFile Read(std::string_view text) {
    std::istringstream lines{std::string(text)};
    for (std::string line; std::getline(lines, line);) {
      ++number_;
      ReadLine(WithoutTag(line));
    }
    if (!columns_) {
      Fail(ErrorCode::kCorruptInput,
           "{}: no line '# size count type ...', expected the table of nccl-tests",
           request_.path.string());
    }
    if (empty_ > 0) {
      out_.notes.push_back(fmt::format("{} sizes of 0 bytes were left out", empty_));
    }
    Flush();
    out_.format = ImportFormat::kNcclTests;
    return std::move(out_);
  }

 private:
  [[nodiscard]] std::string Where(const char* field) const {
    return fmt::format("{}: line {}, {}", request_.path.string(), number_, field);
  }

  void ReadLine(const std::string& line) {
    const std::vector<std::string> words = Words(line);
    if (words.empty()) return;
    if (words[0] == "#") return ReadComment(words);
    if (columns_ && words[0][0] >= '0' && words[0][0] <= '9') ReadRow(words);
  }

  void ReadComment(const std::vector<std::string>& words) {
    if (ReadRank(words, setup_)) return;
    if (words.size() < 2) return;
    if (words[1] == "nThread" || words[1] == "Collective") {
      if (!run_.trials.empty()) Flush();
    }
    if (words[1] == "Collective" && words.size() > 4) setup_.op = OpOf(words[4]);
    const auto iterations = std::find(words.begin(), words.end(), "iters:");
    if (words[1] == "nThread") {
      for (auto word = iterations; word != words.end() && word + 1 != words.end(); ++word) {
        const bool own = *(word - 1) != "warmup" && *(word - 1) != "agg";
        if (*word == "iters:" && own) setup_.iterations = *(word + 1);
      }
    }
    if (words[1] == "size") columns_ = ColumnsOf(words, Where("columns"));
  }

  void ReadRow(const std::vector<std::string>& words) {
    if (words.size() < columns_->after_time + 3) {
      Fail(ErrorCode::kCorruptInput,
           "{}: {} columns, expected at least {}; the line is cut",
           Where("row"),
           words.size(),
           columns_->after_time + 3);
    }
    RequireSetup(setup_, Where("row"));
    const std::int64_t size = SizeOf(NumberOf(words[0], Where("size")), Where("size"));
    const std::string& wrong = words[words.size() - columns_->wrong];
    const bool ok = wrong == "N/A" || NumberOf(wrong, Where("#wrong")) == 0;
    if (size == 0) {
      ++empty_;
      return;
    }
    const std::string& time = words[words.size() - columns_->after_time];
    const std::int64_t ns = TimeOf(NumberOf(time, Where("time")), kUs, Where("time"));
    run_.trials.push_back(MakeTrial(setup_, size, {ns}, ok));
  }

  /// Ends one run of the tests; a file may hold several.
  void Flush() {
    run_.provenance = MachineOf(setup_);
    out_.runs.push_back(std::move(run_));
    run_ = {};
    setup_ = {};
    setup_.op = OpOf(request_.op);
    columns_.reset();
  }

  const ImportRequest& request_;
  Setup setup_;
  std::optional<Columns> columns_;
  ImportedRun run_;
  ImportedFile out_;
  std::int64_t number_ = 0;
  std::int64_t empty_ = 0;
};

}  // namespace

ImportedFile ReadNcclTests(std::string_view text, const ImportRequest& request) {
  return TableReader(request).Read(text);
}

ImportedFile ReadNcclTestsJson(const JsonView& document, const ImportRequest& request) {
  const std::string origin = request.path.string();
  const JsonView config = document["config"];
  Setup setup;
  setup.op = OpOf(request.op);
  if (config.Has("iterations")) setup.iterations = std::to_string(config["iterations"].Int(0));
  for (const JsonView& device : config["devices"].Items()) {
    setup.ranks.insert(static_cast<int>(device["rank"].Int(0, kMaxRanks)));
    setup.hosts.insert(device["hostname"].String());
    if (setup.device.empty()) setup.device = device["device_info"].String();
  }
  ImportedFile out;
  out.format = ImportFormat::kNcclTestsJson;
  ImportedRun run;
  for (const JsonView& result : document["results"].Items()) {
    Setup own = setup;
    if (own.op.empty() && result.Has("experiment_name")) {
      own.op = OpOf(result["experiment_name"].String());
    }
    RequireSetup(own, origin + ": results");
    const std::int64_t size = result["size"].Int(0, 1'000'000'000'000'000);
    if (size == 0 || result["out_of_place"].raw().is_null()) continue;
    const JsonView time = result["out_of_place"];
    const JsonView wrong = time["nwrong"];
    const bool ok = wrong.raw().is_null() || wrong.Number() == 0;
    std::vector<std::int64_t> samples;
    if (result.Has("out_of_place_per_iter")) {
      for (const JsonView& item : result["out_of_place_per_iter"]["times_us"].Items()) {
        samples.push_back(TimeOf(item.Number(), kUs, origin + ": times_us"));
      }
      own.iterations.clear();
    }
    if (samples.empty()) samples.push_back(TimeOf(time["time"].Number(), kUs, origin + ": time"));
    run.trials.push_back(MakeTrial(own, size, std::move(samples), ok));
  }
  run.provenance = MachineOf(setup);
  out.runs.push_back(std::move(run));
  return out;
}

}  // namespace dbsp::db
