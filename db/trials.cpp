// SPDX-License-Identifier: Apache-2.0
// Trials with their configurations and samples.
#include <bit>
#include <cmath>
#include <map>

#include "core/error.h"
#include "db/database.h"
#include "db/store.h"

namespace dbsp::db {
namespace {

template <typename... Ts>
struct Overload : Ts... {
  using Ts::operator()...;
};
template <typename... Ts>
Overload(Ts...) -> Overload<Ts...>;

/// Kind of the timed operation.
const char* KindOf(const TrialConfig& config) {
  return std::visit(Overload{[](const AttentionConfig&) { return "attention"; },
                             [](const ExchangeConfig&) { return "exchange"; },
                             [](const LocalConfig&) { return "local"; },
                             [](const OverlapConfig& c) { return NameOf(c.timed); }},
                    config);
}

void CheckTrial(const Trial& trial) {
  for (const auto* samples : {&trial.samples_ns, &trial.alone_ns}) {
    for (const std::int64_t ns : *samples) {
      if (ns <= 0) {
        Fail(ErrorCode::kInvalidArgument,
             "trial {}: sample of {} ns, expected more than 0",
             KeyOf(trial.config),
             ns);
      }
    }
  }
  if (trial.outcome == TrialOutcome::kOk && trial.samples_ns.empty()) {
    Fail(ErrorCode::kInvalidArgument, "trial {}: outcome ok without a sample", KeyOf(trial.config));
  }
  const auto* overlap = std::get_if<OverlapConfig>(&trial.config);
  if (trial.alone_ns.size() != (overlap != nullptr ? trial.samples_ns.size() : 0)) {
    Fail(ErrorCode::kInvalidArgument,
         "trial {}: {} samples without the other side for {} samples, expected {}",
         KeyOf(trial.config),
         trial.alone_ns.size(),
         trial.samples_ns.size(),
         overlap != nullptr ? "one for each" : "none");
  }
  const auto* exchange =
      overlap != nullptr ? &overlap->exchange : std::get_if<ExchangeConfig>(&trial.config);
  if (exchange != nullptr && !std::isfinite(exchange->unevenness)) {
    Fail(ErrorCode::kInvalidArgument, "trial {}: unevenness is not finite", KeyOf(trial.config));
  }
}

std::int64_t KernelId(Connection& connection, const std::string& name) {
  connection.Prepare("INSERT INTO kernel_variants(name) VALUES (?) ON CONFLICT DO NOTHING")
      .Bind(name)
      .Run();
  Statement find = connection.Prepare("SELECT id FROM kernel_variants WHERE name = ?");
  find.Bind(name);
  DBSP_CHECK(find.Step());
  return find.Integer(0);
}

void Insert(Connection& connection, std::int64_t id, const AttentionConfig& config) {
  const std::int64_t kernel = KernelId(connection, config.kernel);
  connection.Prepare("INSERT INTO attention_trials VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .Bind(id)
      .Bind(kernel)
      .Bind(NameOf(config.dtype))
      .Bind(config.heads)
      .Bind(config.head_dim)
      .Bind(config.block.q)
      .Bind(config.block.k)
      .Bind(config.q_blocks)
      .Bind(config.k_blocks)
      .Bind(config.pattern)
      .Bind(std::bit_cast<std::int64_t>(config.seed))
      .Bind(config.active_blocks)
      .Bind(config.active_rows)
      .Run();
}

void Insert(Connection& connection, std::int64_t id, const ExchangeConfig& config) {
  connection.Prepare("INSERT INTO exchange_trials VALUES (?, ?, ?, ?, ?, ?, ?)")
      .Bind(id)
      .Bind(config.op)
      .Bind(config.transport)
      .Bind(config.ranks)
      .Bind(config.bytes_per_rank)
      .Bind(config.unevenness)
      .Bind(config.nodes)
      .Run();
}

void Insert(Connection& connection, std::int64_t id, const LocalConfig& config) {
  connection.Prepare("INSERT INTO local_trials VALUES (?, ?, ?, ?, ?, ?)")
      .Bind(id)
      .Bind(config.op)
      .Bind(config.amount)
      .Bind(config.head_dim)
      .Bind(config.block.q)
      .Bind(config.block.k)
      .Run();
}

void Insert(Connection& connection, std::int64_t id, const OverlapConfig& config) {
  Insert(connection, id, config.attention);
  Insert(connection, id, config.exchange);
  connection.Prepare("INSERT INTO overlap_trials VALUES (?, ?, ?)")
      .Bind(id)
      .Bind(NameOf(config.timed))
      .Bind(config.sm_margin)
      .Run();
}

using Configs = std::map<std::int64_t, TrialConfig>;

void ReadAttention(const Connection& connection, Configs& configs) {
  Statement rows = connection.Prepare(
      "SELECT trial_id, v.name, dtype, heads, a.head_dim, block_q, block_k, q_blocks, k_blocks, "
      "pattern, seed, kept_blocks, active_rows FROM attention_trials a "
      "JOIN kernel_variants v ON v.id = a.kernel_id");
  while (rows.Step()) {
    AttentionConfig config;
    config.kernel = rows.Text(1);
    config.dtype = rows.Text(2) == NameOf(DType::kBf16) ? DType::kBf16 : DType::kF32;
    config.heads = rows.Int(3);
    config.head_dim = rows.Int(4);
    config.block = {rows.Int(5), rows.Int(6)};
    config.q_blocks = rows.Int(7);
    config.k_blocks = rows.Int(8);
    config.pattern = rows.Text(9);
    config.seed = std::bit_cast<std::uint64_t>(rows.Integer(10));
    config.active_blocks = rows.Integer(11);
    config.active_rows = rows.Integer(12);
    configs.emplace(rows.Integer(0), std::move(config));
  }
}

/// Joins the attention and the exchange of an overlap, which the other readers have read.
void ReadOverlaps(const Connection& connection, const Configs& exchanges, Configs& configs) {
  Statement rows = connection.Prepare("SELECT trial_id, timed, sm_margin FROM overlap_trials");
  while (rows.Step()) {
    const std::int64_t id = rows.Integer(0);
    const auto attention = configs.find(id);
    const auto exchange = exchanges.find(id);
    if (attention == configs.end() || exchange == exchanges.end()) {
      Fail(ErrorCode::kCorruptInput,
           "{}: trial {} is an overlap without its attention or its exchange",
           connection.label(),
           id);
    }
    attention->second = OverlapConfig{.attention = std::get<AttentionConfig>(attention->second),
                                      .exchange = std::get<ExchangeConfig>(exchange->second),
                                      .sm_margin = rows.Int(2),
                                      .timed = ParseTimedSide(rows.Text(1))};
  }
}

void ReadExchanges(const Connection& connection, Configs& configs) {
  Statement exchanges = connection.Prepare(
      "SELECT trial_id, op, transport, ranks, bytes_per_rank, unevenness, nodes FROM "
      "exchange_trials");
  while (exchanges.Step()) {
    configs.emplace(exchanges.Integer(0),
                    ExchangeConfig{.op = exchanges.Text(1),
                                   .transport = exchanges.Text(2),
                                   .ranks = exchanges.Int(3),
                                   .bytes_per_rank = exchanges.Integer(4),
                                   .unevenness = exchanges.Real(5),
                                   .nodes = exchanges.Int(6)});
  }
}

void ReadLocals(const Connection& connection, Configs& configs) {
  Statement locals = connection.Prepare(
      "SELECT trial_id, op, amount, head_dim, block_q, block_k FROM local_trials");
  while (locals.Step()) {
    configs.emplace(locals.Integer(0),
                    LocalConfig{.op = locals.Text(1),
                                .amount = locals.Integer(2),
                                .head_dim = locals.Int(3),
                                .block = {locals.Int(4), locals.Int(5)}});
  }
}

/// Reads the samples of one trial after another, in ascending order of trial ids.
class SampleReader {
 public:
  /// table  "samples" or "alone_samples"
  SampleReader(const Connection& connection, const std::string& table)
      : rows_(connection.Prepare("SELECT trial_id, duration_ns FROM " + table +
                                 " ORDER BY trial_id, position")),
        more_(rows_.Step()) {}

  std::vector<std::int64_t> Of(std::int64_t id) {
    std::vector<std::int64_t> found;
    for (; more_ && rows_.Integer(0) <= id; more_ = rows_.Step()) {
      if (rows_.Integer(0) == id) found.push_back(rows_.Integer(1));
    }
    return found;
  }

 private:
  Statement rows_;
  bool more_;
};

}  // namespace

std::int64_t Store::InsertTrial(std::int64_t environment_id, const Trial& trial) {
  CheckTrial(trial);
  connection
      .Prepare(
          "INSERT INTO trials(environment_id, key, kind, suite, outcome, detail, method, "
          "stop_reason, warmups, discarded, started_utc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .Bind(environment_id)
      .Bind(KeyOf(trial.config))
      .Bind(KindOf(trial.config))
      .Bind(trial.suite)
      .Bind(NameOf(trial.outcome))
      .Bind(trial.detail)
      .Bind(trial.method)
      .Bind(trial.stop_reason)
      .Bind(trial.warmups)
      .Bind(trial.discarded)
      .Bind(trial.started_utc)
      .Run();
  const std::int64_t id = connection.last_insert_id();
  std::visit([&](const auto& config) { Insert(connection, id, config); }, trial.config);
  const auto store = [&](const std::string& table, const std::vector<std::int64_t>& samples) {
    Statement sample = connection.Prepare("INSERT INTO " + table + " VALUES (?, ?, ?)");
    std::int64_t position = 0;
    for (const std::int64_t ns : samples) sample.Bind(id).Bind(position++).Bind(ns).Run();
  };
  store("samples", trial.samples_ns);
  store("alone_samples", trial.alone_ns);
  return id;
}

std::int64_t Database::AddTrial(std::int64_t environment_id,
                                const Trial& trial,
                                const std::optional<CounterRecord>& counters) {
  Transaction transaction(store_->connection);
  const std::int64_t id = store_->InsertTrial(environment_id, trial);
  if (counters) store_->InsertCounters(id, *counters);
  transaction.Commit();
  return id;
}

bool Database::HasFinishedTrial(const std::string& key,
                                const std::string& method,
                                const Provenance& machine) const {
  Statement find = store_->connection.Prepare(
      "SELECT 1 FROM trials t JOIN environments e ON e.id = t.environment_id "
      "JOIN devices d ON d.id = e.device_id WHERE t.key = ? AND t.outcome = 'ok' AND t.method = ? "
      "AND d.kind = ? AND d.name = ? AND d.uuid = ? AND e.git_commit = ? LIMIT 1");
  find.Bind(key)
      .Bind(method)
      .Bind(machine.device_kind)
      .Bind(machine.device_name)
      .Bind(machine.device_uuid)
      .Bind(machine.git_commit);
  return find.Step();
}

std::vector<StoredTrial> Database::Trials() const {
  const Connection& connection = store_->connection;
  Configs configs;
  Configs exchanges;
  ReadAttention(connection, configs);
  ReadExchanges(connection, exchanges);
  ReadOverlaps(connection, exchanges, configs);
  configs.merge(exchanges);
  ReadLocals(connection, configs);
  SampleReader samples(connection, "samples");
  SampleReader alone(connection, "alone_samples");
  std::vector<StoredTrial> found;
  Statement rows = connection.Prepare(
      "SELECT id, environment_id, suite, outcome, detail, method, stop_reason, warmups, "
      "discarded, started_utc FROM trials ORDER BY id");
  while (rows.Step()) {
    StoredTrial stored;
    stored.id = rows.Integer(0);
    stored.environment_id = rows.Integer(1);
    const auto config = configs.find(stored.id);
    if (config == configs.end()) {
      Fail(ErrorCode::kCorruptInput,
           "{}: trial {} has no configuration",
           connection.label(),
           stored.id);
    }
    Trial& trial = stored.trial;
    trial.config = std::move(config->second);
    trial.suite = rows.Text(2);
    trial.outcome = ParseTrialOutcome(rows.Text(3));
    trial.detail = rows.Text(4);
    trial.method = rows.Text(5);
    trial.stop_reason = rows.Text(6);
    trial.warmups = rows.Integer(7);
    trial.discarded = rows.Integer(8);
    trial.started_utc = rows.Text(9);
    trial.samples_ns = samples.Of(stored.id);
    trial.alone_ns = alone.Of(stored.id);
    found.push_back(std::move(stored));
  }
  return found;
}

}  // namespace dbsp::db
