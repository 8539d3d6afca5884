// SPDX-License-Identifier: Apache-2.0
// Trials with their configurations and samples.
#include <fmt/format.h>

#include <algorithm>
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

/// Whether `count` is in [0, a b c]. The factors are positive.
bool Within(std::int64_t count, std::int64_t a, std::int64_t b, std::int64_t c) {
  std::int64_t most = 0;
  const bool huge = __builtin_mul_overflow(a, b, &most) || __builtin_mul_overflow(most, c, &most);
  return count >= 0 && (huge || count <= most);
}

std::string ProblemOf(const ListStatistics& lists, const AttentionConfig& c) {
  if (c.block.k != 1) return "statistics of key lists with blocks of several keys";
  if (lists.step < 1) return fmt::format("lists: step of {} keys, expected at least 1", lists.step);
  if (lists.max_keys < 0 || lists.max_keys > c.k_blocks) {
    return fmt::format("lists: largest of {} keys, expected 0 to {}", lists.max_keys, c.k_blocks);
  }
  if (lists.runs < 0 || lists.runs > c.active_blocks || lists.padded_keys < c.active_blocks) {
    return fmt::format(
        "lists: {} keys in {} runs, padded to {}; expected at most as many runs and "
        "at least as many padded keys",
        c.active_blocks,
        lists.runs,
        lists.padded_keys);
  }
  return "";
}

std::string ProblemOf(const AttentionConfig& c) {
  if (std::min({c.heads, c.head_dim, c.block.q, c.block.k, c.q_blocks, c.k_blocks}) < 1) {
    return "heads, head_dim and blocks: expected at least 1";
  }
  if (!Within(c.active_blocks, c.heads, c.q_blocks, c.k_blocks)) {
    return fmt::format("{} active blocks, expected 0 to heads x blocks", c.active_blocks);
  }
  if (!Within(c.active_rows, c.heads, c.q_blocks, 1)) {
    return fmt::format("{} active rows, expected 0 to heads x query blocks", c.active_rows);
  }
  return c.lists ? ProblemOf(*c.lists, c) : "";
}

std::string ProblemOf(const ExchangeConfig& c) {
  if (!std::isfinite(c.unevenness)) return "unevenness is not finite";
  if (c.unevenness < 0) return fmt::format("unevenness {}, expected at least 0", c.unevenness);
  if (c.ranks < 1 || c.nodes < 1 || c.bytes_per_rank < 0) {
    return fmt::format("{} bytes between {} ranks of {} hosts", c.bytes_per_rank, c.ranks, c.nodes);
  }
  return "";
}

std::string ProblemOf(const LocalConfig& c) {
  if (c.lists.has_value() != MakesLists(c.op)) {
    return c.lists ? "a list size with an op that makes no lists" : "lists of unknown size";
  }
  if (c.lists) {
    if (c.lists->k_tokens < 1) return "lists: expected at least 1 key token";
    if (c.lists->keys &&
        !Within(*c.lists->keys, std::max<std::int64_t>(c.amount, 1), c.lists->k_tokens, 1)) {
      return fmt::format("lists: {} keys, expected 0 to rows x key tokens", *c.lists->keys);
    }
  }
  if (c.amount >= 0 && std::min({c.head_dim, c.block.q, c.block.k}) >= 0) return "";
  return "amount, head_dim and block: expected at least 0";
}

std::string ProblemOf(const OverlapConfig& c) {
  std::string problem = ProblemOf(c.attention);
  if (problem.empty()) problem = ProblemOf(c.exchange);
  if (problem.empty() && c.sm_margin < 0) problem = "SM margin: expected at least 0";
  return problem;
}

/// What makes the trial impossible, "" for nothing. What reads trials relies on it.
std::string ProblemOf(const Trial& trial) {
  for (const auto* samples : {&trial.samples_ns, &trial.alone_ns}) {
    for (const std::int64_t ns : *samples) {
      if (ns <= 0) return fmt::format("sample of {} ns, expected more than 0", ns);
    }
  }
  if (trial.outcome == TrialOutcome::kOk && trial.samples_ns.empty()) {
    return "outcome ok without a sample";
  }
  const bool overlap = std::holds_alternative<OverlapConfig>(trial.config);
  if (trial.alone_ns.size() != (overlap ? trial.samples_ns.size() : 0)) {
    return fmt::format("{} samples without the other side for {} samples, expected {}",
                       trial.alone_ns.size(),
                       trial.samples_ns.size(),
                       overlap ? "one for each" : "none");
  }
  if (trial.warmups < 0 || trial.discarded < 0) {
    return fmt::format("{} warm-ups, {} samples discarded", trial.warmups, trial.discarded);
  }
  return std::visit([](const auto& config) { return ProblemOf(config); }, trial.config);
}

void CheckTrial(const Trial& trial) {
  const std::string problem = ProblemOf(trial);
  if (problem.empty()) return;
  Fail(ErrorCode::kInvalidArgument, "trial {}: {}", KeyOf(trial.config), problem);
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

/// SQL for a number of the lists in a trial's key, NULL where the key has none. Statistics of lists
/// have no columns, because they follow from the configuration.
std::string ListNumber(const std::string& name) {
  return fmt::format(
      "iif(json_valid(t.key), coalesce(json_extract(t.key, '$.lists.{0}'), "
      "json_extract(t.key, '$.attention.lists.{0}')), NULL)",
      name);
}

using Configs = std::map<std::int64_t, TrialConfig>;

void ReadAttention(const Connection& connection, Configs& configs) {
  Statement rows = connection.Prepare(
      "SELECT trial_id, v.name, dtype, heads, a.head_dim, block_q, block_k, q_blocks, k_blocks, "
      "pattern, seed, kept_blocks, active_rows, " +
      ListNumber("step") + ", " + ListNumber("padded_keys") + ", " + ListNumber("max_keys") + ", " +
      ListNumber("runs") +
      " FROM attention_trials a JOIN kernel_variants v ON v.id = a.kernel_id "
      "JOIN trials t ON t.id = a.trial_id");
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
    if (!rows.IsNull(13)) {
      config.lists = {.step = rows.Int(13),
                      .padded_keys = rows.Integer(14),
                      .max_keys = rows.Integer(15),
                      .runs = rows.Integer(16)};
    }
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
           "{}: trial {} is an overlap without its attention or its exchange; restore it or "
           "measure into a new file",
           connection.label(),
           id);
    }
    attention->second = OverlapConfig{.attention = std::get<AttentionConfig>(attention->second),
                                      .exchange = std::get<ExchangeConfig>(exchange->second),
                                      .sm_margin = rows.Int(2),
                                      .timed = rows.Enum(1, ParseTimedSide)};
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

[[noreturn]] void FailTwice(const Connection& connection, std::int64_t id) {
  Fail(ErrorCode::kCorruptInput,
       "{}: trial {} has two configurations; restore it or measure into a new file",
       connection.label(),
       id);
}

void ReadLocals(const Connection& connection, Configs& configs) {
  Statement locals = connection.Prepare(
      "SELECT trial_id, op, amount, head_dim, block_q, block_k, " + ListNumber("k_tokens") + ", " +
      ListNumber("keys") + " FROM local_trials l JOIN trials t ON t.id = l.trial_id");
  while (locals.Step()) {
    const std::int64_t id = locals.Integer(0);
    LocalConfig config{.op = locals.Text(1),
                       .amount = locals.Integer(2),
                       .head_dim = locals.Int(3),
                       .block = {locals.Int(4), locals.Int(5)}};
    if (!locals.IsNull(6)) {
      config.lists = ListSize{.k_tokens = locals.Int(6)};
      if (!locals.IsNull(7)) config.lists->keys = locals.Integer(7);
    }
    if (!configs.emplace(id, std::move(config)).second) FailTwice(connection, id);
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
  for (const auto& [id, config] : exchanges) {
    if (!std::holds_alternative<OverlapConfig>(configs.at(id))) FailTwice(connection, id);
  }
  ReadLocals(connection, configs);
  SampleReader samples(connection, "samples");
  SampleReader alone(connection, "alone_samples");
  std::vector<StoredTrial> found;
  Statement rows = connection.Prepare(
      "SELECT id, environment_id, suite, outcome, detail, method, stop_reason, warmups, "
      "discarded, started_utc, kind FROM trials ORDER BY id");
  while (rows.Step()) {
    StoredTrial stored;
    stored.id = rows.Integer(0);
    stored.environment_id = rows.Integer(1);
    const auto config = configs.find(stored.id);
    if (config == configs.end()) {
      Fail(ErrorCode::kCorruptInput,
           "{}: trial {} has no configuration; restore it or measure into a new file",
           connection.label(),
           stored.id);
    }
    Trial& trial = stored.trial;
    trial.config = std::move(config->second);
    trial.suite = rows.Text(2);
    trial.outcome = rows.Enum(3, ParseTrialOutcome);
    trial.detail = rows.Text(4);
    trial.method = rows.Text(5);
    trial.stop_reason = rows.Text(6);
    trial.warmups = rows.Integer(7);
    trial.discarded = rows.Integer(8);
    trial.started_utc = rows.Text(9);
    trial.samples_ns = samples.Of(stored.id);
    trial.alone_ns = alone.Of(stored.id);
    std::string problem = ProblemOf(trial);
    if (rows.Text(10) != KindOf(trial.config)) problem = "kind and configuration differ";
    if (!problem.empty()) {
      Fail(ErrorCode::kCorruptInput,
           "{}: trial {}: {}; restore it or measure into a new file",
           connection.label(),
           stored.id,
           problem);
    }
    found.push_back(std::move(stored));
  }
  return found;
}

}  // namespace dbsp::db
