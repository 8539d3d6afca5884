// SPDX-License-Identifier: Apache-2.0
// Database, environments, trials and global notices of the data document.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/statistics.h"
#include "reports/document_parts.h"

namespace dbsp::reports {
namespace {

Json EnvironmentJson(const db::StoredEnvironment& stored) {
  const Provenance& p = stored.provenance;
  Json extra = Json::object();
  for (const auto& [name, value] : p.extra) extra[name] = value;
  return {{"id", stored.id},
          {"device_kind", p.device_kind},
          {"device_name", p.device_name},
          {"device_uuid", p.device_uuid},
          {"host", p.host},
          {"cores", p.cores},
          {"memory_bytes", p.memory_bytes},
          {"compiler", p.compiler},
          {"build_type", p.build_type},
          {"git_commit", p.git_commit},
          {"git_dirty", p.git_dirty ? int{*p.git_dirty} : -1},
          {"version", p.version},
          {"argv", p.argv},
          {"started_utc", p.started_utc},
          {"extra", extra}};
}

std::map<std::string, std::int64_t> Outcomes(const ReportInputs& inputs) {
  std::map<std::string, std::int64_t> counts;
  for (const db::StoredTrial& stored : inputs.trials) ++counts[NameOf(stored.trial.outcome)];
  return counts;
}

std::string BlockText(const BlockSize& block) { return fmt::format("{}x{}", block.q, block.k); }

void AddSamples(const Trial& trial, Json& out) {
  out["samples"] = trial.samples_ns.size();
  for (const char* key : {"median_ns", "q25_ns", "q75_ns", "spread"}) out[key] = nullptr;
  if (trial.samples_ns.empty()) return;
  const Quartiles quartiles = QuartilesOf(trial.samples_ns);
  out["median_ns"] = quartiles.median;
  out["q25_ns"] = quartiles.first;
  out["q75_ns"] = quartiles.third;
  out["spread"] = OrNull(RelativeIqr(quartiles));
  if (trial.alone_ns.empty()) return;
  const double alone_median = Median(trial.alone_ns);
  out["alone_median_ns"] = alone_median;
  if (alone_median > 0) out["slowdown"] = quartiles.median / alone_median;
}

struct ConfigWriter {
  Json& out;
  void operator()(const AttentionConfig& c) const {
    const double all = static_cast<double>(c.heads) * c.q_blocks * c.k_blocks;
    out["kind"] = "attention";
    out["kernel"] = c.kernel;
    out["dtype"] = NameOf(c.dtype);
    out["heads"] = c.heads;
    out["head_dim"] = c.head_dim;
    out["block"] = BlockText(c.block);
    out["q_blocks"] = c.q_blocks;
    out["k_blocks"] = c.k_blocks;
    out["pattern"] = c.pattern;
    out["kept_blocks"] = c.active_blocks;
    out["density"] = all > 0 ? Json(static_cast<double>(c.active_blocks) / all) : Json(nullptr);
  }
  void operator()(const ExchangeConfig& c) const {
    out["kind"] = "exchange";
    out["op"] = c.op;
    out["transport"] = c.transport;
    out["ranks"] = c.ranks;
    out["bytes_per_rank"] = c.bytes_per_rank;
    out["unevenness"] = c.unevenness;
  }
  void operator()(const LocalConfig& c) const {
    out["kind"] = "local";
    out["op"] = c.op;
    out["amount"] = c.amount;
    out["head_dim"] = c.head_dim;
    out["block"] = BlockText(c.block);
  }
  void operator()(const OverlapConfig& c) const {
    (*this)(c.attention);
    (*this)(c.exchange);
    out["kind"] = "overlap";
    out["timed"] = NameOf(c.timed);
    out["sm_margin"] = c.sm_margin;
    out["alone_median_ns"] = nullptr;  // a trial that failed has no samples
    out["slowdown"] = nullptr;
  }
};

}  // namespace

Json Notice(const char* level, const std::string& text) {
  return {{"level", level}, {"text", text}};
}

Json DatabaseJson(const ReportInputs& inputs, const ReportLimits& limits) {
  if (inputs.database_name.empty()) return nullptr;
  Json environments = Json::array();
  const std::size_t listed = std::min(limits.environments, inputs.environments.size());
  for (std::size_t i = 0; i < listed; ++i) {
    environments.push_back(
        EnvironmentJson(inputs.environments[inputs.environments.size() - 1 - i]));
  }
  Json outcomes = Json::object();
  for (const auto& [name, count] : Outcomes(inputs)) outcomes[name] = count;
  return {{"name", inputs.database_name},
          {"schema_version", inputs.schema_version},
          {"measurement_hash", inputs.measurement_hash},
          {"environments", environments},
          {"environments_total", inputs.environments.size()},
          {"outcomes", outcomes},
          {"plans", inputs.stored_plans},
          {"replays", inputs.replays.size()}};
}

Json TrialsJson(const ReportInputs& inputs, const ReportLimits& limits) {
  Json trials = Json::array();
  const std::size_t listed = std::min(limits.trials, inputs.trials.size());
  for (std::size_t i = inputs.trials.size() - listed; i < inputs.trials.size(); ++i) {
    const db::StoredTrial& stored = inputs.trials[i];
    const Trial& trial = stored.trial;
    Json out = {{"id", stored.id},
                {"environment", stored.environment_id},
                {"suite", trial.suite},
                {"outcome", NameOf(trial.outcome)},
                {"detail", trial.detail},
                {"method", trial.method},
                {"stop_reason", trial.stop_reason},
                {"warmups", trial.warmups},
                {"discarded", trial.discarded},
                {"started_utc", trial.started_utc}};
    std::visit(ConfigWriter{out}, trial.config);
    AddSamples(trial, out);
    trials.push_back(std::move(out));
  }
  return trials;
}

namespace {

/// A clock that the device lowered by itself when a process began: reasons that are not "idle",
/// "none", or a clock that was set on purpose.
bool IsThrottled(const std::string& events) {
  for (const char* reason : {"power cap", "slowdown", "power brake"}) {
    if (events.find(reason) != std::string::npos) return true;
  }
  return false;
}

/// Samples of a device that lowered its clocks, and samples that were thrown away.
void AddThrottleNotices(const ReportInputs& inputs, Json& notices) {
  std::map<std::int64_t, std::int64_t> trials;
  std::int64_t discarded = 0;
  std::int64_t disturbed = 0;
  for (const db::StoredTrial& stored : inputs.trials) {
    ++trials[stored.environment_id];
    discarded += stored.trial.discarded;
    disturbed += stored.trial.discarded > 0 ? 1 : 0;
  }
  for (const db::StoredEnvironment& stored : inputs.environments) {
    const auto events = stored.provenance.extra.find("gpu_clock_events");
    if (events == stored.provenance.extra.end() || !IsThrottled(events->second)) continue;
    notices.push_back(Notice(
        "warning",
        fmt::format("Throttled: {} had lowered its clocks ({}) when environment {} began. The "
                    "samples of its {} trials may be slower than the device can be.",
                    stored.provenance.device_name,
                    events->second,
                    stored.id,
                    trials[stored.id])));
  }
  if (discarded > 0) {
    notices.push_back(Notice("note",
                             fmt::format("{} samples of {} trials were discarded; the table of "
                                         "measurements shows the reasons.",
                                         discarded,
                                         disturbed)));
  }
}

}  // namespace

Json GlobalNotices(const ReportInputs& inputs) {
  Json notices = Json::array();
  std::string bad;
  for (const auto& [name, count] : Outcomes(inputs)) {
    if (name != NameOf(TrialOutcome::kOk))
      bad += fmt::format("{}{} {}", bad.empty() ? "" : ", ", count, name);
  }
  if (!bad.empty()) {
    notices.push_back(Notice(
        "warning",
        fmt::format("Trials without a result: {}. The table of measurements shows the reasons.",
                    bad)));
  }
  std::int64_t dirty = 0;
  for (const auto& stored : inputs.environments)
    dirty += stored.provenance.git_dirty.value_or(false) ? 1 : 0;
  if (dirty > 0) {
    notices.push_back(
        Notice("note",
               fmt::format("{} of {} environments used a build with uncommitted changes.",
                           dirty,
                           inputs.environments.size())));
  }
  AddThrottleNotices(inputs, notices);
  for (const std::string& text : inputs.warnings) notices.push_back(Notice("note", text + "."));
  return notices;
}

}  // namespace dbsp::reports
