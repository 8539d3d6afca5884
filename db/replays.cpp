// SPDX-License-Identifier: Apache-2.0
// Plans, and replays with their ledgers.
#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/file.h"
#include "db/database.h"
#include "db/store.h"

namespace dbsp::db {
namespace {

std::optional<double> Storable(const std::optional<double>& error) {
  // SQLite stores NaN as NULL, which would read as "not verified".
  if (error && std::isnan(*error)) return std::numeric_limits<double>::infinity();
  return error;
}

/// Adds times * count to `total`. Returns false when the sum needs more than 64 bits.
bool AddTimes(std::int64_t ns, std::int64_t count, std::int64_t& total) {
  std::int64_t product = 0;
  return !__builtin_mul_overflow(ns, count, &product) &&
         !__builtin_add_overflow(total, product, &total);
}

/// What makes the replay impossible, "" for nothing. What reads replays relies on it.
std::string ProblemOf(const ReplayRecord& replay) {
  std::int64_t total = 0;
  std::int64_t meant = 0;
  if (replay.ranks < 1) return fmt::format("{} ranks", replay.ranks);
  for (const ReplayCell& cell : replay.cells) {
    const std::string where = fmt::format("step {}, layer {}: ", cell.step, cell.layer);
    const std::int64_t count = cell.multiplicity.value_or(1);
    if (cell.step < 0 || cell.layer < 0) return where + "expected at least 0";
    if (count < 1) return where + fmt::format("multiplicity {}, expected at least 1", count);
    if (cell.predicted_ns < 0 || cell.replayed_ns < 0) {
      return where + fmt::format("{} ns predicted, {} ns replayed, expected at least 0",
                                 cell.predicted_ns,
                                 cell.replayed_ns);
    }
    bool fits = AddTimes(1, count, meant) && AddTimes(cell.predicted_ns, count, total) &&
                AddTimes(cell.replayed_ns, count, total);
    for (const Segment& segment : cell.segments) {
      const std::int64_t predicted = segment.predicted_ns.value_or(0);
      if (segment.rank < 0 || segment.rank >= replay.ranks) {
        return where + fmt::format("segment of rank {} of {}", segment.rank, replay.ranks);
      }
      std::int64_t end = 0;
      if (segment.duration_ns < 0 || predicted < 0 ||
          __builtin_add_overflow(segment.start_ns, segment.duration_ns, &end)) {
        return where + fmt::format("segment of {} ns from {} ns on, {} ns predicted",
                                   segment.duration_ns,
                                   segment.start_ns,
                                   predicted);
      }
      fits =
          fits && AddTimes(segment.duration_ns, count, total) && AddTimes(predicted, count, total);
    }
    if (!fits) return where + "the sum of all times needs more than 64 bits";
  }
  return "";
}

void InsertSegments(Connection& connection, std::int64_t cell_id, const ReplayCell& cell) {
  Statement insert =
      connection.Prepare("INSERT INTO ledger_segments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
  std::int64_t position = 0;
  for (const Segment& segment : cell.segments) {
    insert.Bind(cell_id)
        .Bind(position++)
        .Bind(segment.rank)
        .Bind(NameOf(segment.kind))
        .Bind(segment.index)
        .Bind(segment.start_ns)
        .Bind(segment.duration_ns)
        .Bind(segment.bytes)
        .Bind(segment.predicted_ns)
        .Run();
  }
}

void InsertCells(Connection& connection, std::int64_t replay_id, const ReplayRecord& replay) {
  Statement insert = connection.Prepare(
      "INSERT INTO replay_cells(replay_id, position, step, layer, predicted_ns, replayed_ns, "
      "relative_error, max_abs_error, lse_error, multiplicity) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  int position = 0;
  for (const ReplayCell& cell : replay.cells) {
    insert.Bind(replay_id)
        .Bind(position++)
        .Bind(cell.step)
        .Bind(cell.layer)
        .Bind(cell.predicted_ns)
        .Bind(cell.replayed_ns)
        .Bind(Storable(cell.relative_error))
        .Bind(Storable(cell.max_abs_error))
        .Bind(Storable(cell.lse_error))
        .Bind(cell.multiplicity)
        .Run();
    InsertSegments(connection, connection.last_insert_id(), cell);
  }
}

std::optional<double> OptionalReal(const Statement& row, int column) {
  if (row.IsNull(column)) return std::nullopt;
  return row.Real(column);
}

std::optional<std::int64_t> OptionalInteger(const Statement& row, int column) {
  if (row.IsNull(column)) return std::nullopt;
  return row.Integer(column);
}

void ReadSegments(Statement& rows, std::int64_t cell_id, ReplayCell& cell) {
  rows.Bind(cell_id);
  while (rows.Step()) {
    Segment segment;
    segment.rank = rows.Int(0);
    segment.kind = rows.Enum(1, ParseSegmentKind);
    segment.index = rows.Int(2);
    segment.start_ns = rows.Integer(3);
    segment.duration_ns = rows.Integer(4);
    segment.bytes = rows.Integer(5);
    segment.predicted_ns = OptionalInteger(rows, 6);
    cell.segments.push_back(segment);
  }
  rows.Reset();
}

std::vector<ReplayCell> ReadCells(const Connection& connection, std::int64_t replay_id) {
  std::vector<ReplayCell> found;
  Statement segments = connection.Prepare(
      "SELECT rank, kind, segment_index, start_ns, replayed_ns, bytes, predicted_ns "
      "FROM ledger_segments WHERE cell_id = ? ORDER BY position");
  Statement rows = connection.Prepare(
      "SELECT id, step, layer, predicted_ns, replayed_ns, relative_error, max_abs_error, "
      "lse_error, "
      "multiplicity FROM replay_cells WHERE replay_id = ? ORDER BY position");
  rows.Bind(replay_id);
  while (rows.Step()) {
    ReplayCell cell;
    cell.step = rows.Int(1);
    cell.layer = rows.Int(2);
    cell.predicted_ns = rows.Integer(3);
    cell.replayed_ns = rows.Integer(4);
    cell.relative_error = OptionalReal(rows, 5);
    cell.max_abs_error = OptionalReal(rows, 6);
    cell.lse_error = OptionalReal(rows, 7);
    cell.multiplicity = OptionalInteger(rows, 8);
    ReadSegments(segments, rows.Integer(0), cell);
    found.push_back(std::move(cell));
  }
  return found;
}

}  // namespace

std::int64_t Store::InsertPlan(const std::string& json, const std::string& stored_utc) {
  const std::string hash = HashBytes(json);
  Statement find = connection.Prepare("SELECT id FROM plans WHERE hash = ?");
  find.Bind(hash);
  if (find.Step()) return find.Integer(0);
  connection.Prepare("INSERT INTO plans(hash, json, stored_utc) VALUES (?, ?, ?)")
      .Bind(hash)
      .Bind(json)
      .Bind(stored_utc)
      .Run();
  return connection.last_insert_id();
}

std::int64_t Database::AddPlan(const std::string& plan_json) {
  Statement valid = store_->connection.Prepare("SELECT json_valid(?)");
  valid.Bind(plan_json);
  if (!valid.Step() || valid.Integer(0) != 1) {
    Fail(ErrorCode::kInvalidArgument, "plan to store: expected JSON text");
  }
  Transaction transaction(store_->connection);
  const std::int64_t id = store_->InsertPlan(plan_json, NowUtc());
  transaction.Commit();
  return id;
}

std::vector<StoredPlan> Database::Plans() const {
  std::vector<StoredPlan> found;
  Statement rows =
      store_->connection.Prepare("SELECT id, hash, json, stored_utc FROM plans ORDER BY id");
  while (rows.Step()) {
    StoredPlan plan{rows.Integer(0), rows.Text(1), rows.Text(2), rows.Text(3)};
    if (plan.hash != HashBytes(plan.json)) {
      Fail(
          ErrorCode::kCorruptInput,
          "{}: plan {} is not the text that was stored: its hash is {}, expected {}; restore it or "
          "measure into a new file",
          store_->connection.label(),
          plan.id,
          HashBytes(plan.json),
          plan.hash);
    }
    found.push_back(std::move(plan));
  }
  return found;
}

std::int64_t Store::InsertReplay(std::int64_t environment_id, const ReplayRecord& replay) {
  const std::string problem = ProblemOf(replay);
  if (!problem.empty()) Fail(ErrorCode::kInvalidArgument, "replay to store: {}", problem);
  connection
      .Prepare(
          "INSERT INTO replays(environment_id, plan_hash, workload_hash, device, transport, "
          "exchange_source, ranks, verified, passed, started_utc) "
          "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .Bind(environment_id)
      .Bind(replay.plan_hash)
      .Bind(replay.workload_hash)
      .Bind(replay.device)
      .Bind(replay.transport)
      .Bind(replay.exchange_source)
      .Bind(replay.ranks)
      .Bind(replay.verified ? 1 : 0)
      .Bind(replay.passed ? 1 : 0)
      .Bind(replay.started_utc)
      .Run();
  const std::int64_t id = connection.last_insert_id();
  InsertCells(connection, id, replay);
  return id;
}

std::int64_t Database::AddReplay(std::int64_t environment_id, const ReplayRecord& replay) {
  Transaction transaction(store_->connection);
  const std::int64_t id = store_->InsertReplay(environment_id, replay);
  transaction.Commit();
  return id;
}

std::vector<StoredReplay> Database::Replays() const {
  std::vector<StoredReplay> found;
  Statement rows = store_->connection.Prepare(
      "SELECT id, environment_id, plan_hash, workload_hash, device, transport, exchange_source, "
      "ranks, verified, passed, started_utc FROM replays ORDER BY id");
  while (rows.Step()) {
    StoredReplay stored;
    stored.id = rows.Integer(0);
    stored.environment_id = rows.Integer(1);
    ReplayRecord& replay = stored.replay;
    replay.plan_hash = rows.Text(2);
    replay.workload_hash = rows.Text(3);
    replay.device = rows.Text(4);
    replay.transport = rows.Text(5);
    replay.exchange_source = rows.Text(6);
    replay.ranks = rows.Int(7);
    replay.verified = rows.Int(8) != 0;
    replay.passed = rows.Int(9) != 0;
    replay.started_utc = rows.Text(10);
    replay.cells = ReadCells(store_->connection, stored.id);
    const std::string problem = ProblemOf(replay);
    if (!problem.empty()) {
      Fail(ErrorCode::kCorruptInput,
           "{}: replay {}: {}; restore it or measure into a new file",
           store_->connection.label(),
           stored.id,
           problem);
    }
    found.push_back(std::move(stored));
  }
  return found;
}

}  // namespace dbsp::db
