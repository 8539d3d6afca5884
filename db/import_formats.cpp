// SPDX-License-Identifier: Apache-2.0
#include "db/import_formats.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/error.h"

namespace dbsp::db {
namespace {

constexpr double kLongestNs = 1e18;

}  // namespace

std::int64_t TimeOf(double value, double unit_ns, const std::string& where) {
  const double ns = value * unit_ns;
  if (!std::isfinite(ns) || value <= 0 || ns > kLongestNs) {
    Fail(ErrorCode::kCorruptInput, "{}: {:g}, expected a time above 0", where, value);
  }
  return std::max<std::int64_t>(1, std::llround(ns));
}

double NumberOf(std::string_view text, const std::string& where) {
  double value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) {
    Fail(ErrorCode::kCorruptInput, "{}: '{}', expected a number", where, text);
  }
  return value;
}

std::int64_t BytesPerRank(const std::string& op, std::int64_t size, int ranks) {
  if (op != "alltoall" && op != "allgather" && op != "reducescatter") return size;
  const std::int64_t part = size / ranks;
  return size - part;
}

std::string OpOf(std::string_view name) {
  std::string op(name.substr(name.rfind('/') + 1));
  std::erase(op, '_');
  if (op.ends_with("perf")) op.resize(op.size() - 4);
  if (op == "alltoallv") return "alltoall";
  if (op == "allgatherbase" || op == "allgatherintotensor") return "allgather";
  if (op == "reducescatterbase" || op == "reducescattertensor") return "reducescatter";
  if (op == "sendrecv") return "hop";
  return op;
}

void NamedTimes::MoveTo(ImportedRun& run, const std::string& method) {
  for (auto& [name, samples] : samples_) {
    Trial trial;
    trial.suite = "import";
    trial.config = LocalConfig{.op = name, .amount = 0, .head_dim = 0, .block = {0, 0}};
    trial.method = method;
    trial.stop_reason = "imported";
    trial.samples_ns = std::move(samples);
    trial.started_utc = run.provenance.started_utc;
    run.trials.push_back(std::move(trial));
  }
  samples_.clear();
}

}  // namespace dbsp::db
