// SPDX-License-Identifier: Apache-2.0
// Records with every field set, and SQL queries that do not go through the module.
#pragma once

#include <sqlite3.h>

#include <filesystem>
#include <random>
#include <string>

#include "core/records.h"
#include "db/database.h"
#include "tests/core/temporary_folder.h"

namespace dbsp::db {

using TempFolder = dbsp::testing::TemporaryFolder;

inline Provenance SomeMachine(const std::string& device = "A \"CPU\" of 2 cores") {
  Provenance p;
  p.device_kind = "cpu";
  p.device_name = device;
  p.host = "host-1";
  p.cores = 2;
  p.memory_bytes = 8'000'000'000;
  p.compiler = "GNU 12.2.0";
  p.build_type = "Release";
  p.git_commit = "0123abcd";
  p.git_dirty = true;
  p.version = "0.1.0";
  p.argv = {"dbsp-profile", "--db", "a b.db", ""};
  p.started_utc = "2026-01-31T12:34:56Z";
  p.extra = {{"governor", "powersave"}, {"quote'd", "x"}};
  return p;
}

inline Trial SomeAttention(std::uint64_t seed, std::vector<std::int64_t> samples) {
  AttentionConfig config;
  config.kernel = "cpu.block_sparse";
  config.heads = 3;
  config.head_dim = 64;
  config.block = {128, 64};
  config.q_blocks = 10;
  config.k_blocks = 20;
  config.pattern = "skewed";
  config.seed = seed;
  config.active_blocks = 150;
  config.active_rows = 29;
  Trial trial;
  trial.suite = "quick";
  trial.config = config;
  trial.method = "cpu.thread_time";
  trial.stop_reason = "spread";
  trial.warmups = 2;
  trial.discarded = 1;
  trial.detail = "1 sample discarded";
  trial.samples_ns = std::move(samples);
  trial.started_utc = "2026-01-31T12:34:57Z";
  return trial;
}

/// Makes the configuration one with lists of single keys if `really`.
inline void AddLists(int really, AttentionConfig& config) {
  if (really == 0) return;
  config.block.k = 1;
  config.lists = ListStatistics{.step = 64,
                                .padded_keys = config.active_blocks + 63,
                                .max_keys = config.k_blocks,
                                .runs = config.active_blocks};
}

/// A trial of any kind with random fields; the same seed gives the same trial.
inline Trial RandomTrial(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto pick = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
  };
  std::vector<std::int64_t> samples(pick(1, 40));
  for (auto& ns : samples) ns = 1 + static_cast<std::int64_t>(random() >> 2);
  Trial trial = SomeAttention(random(), std::move(samples));
  std::get<AttentionConfig>(trial.config).dtype = pick(0, 1) == 0 ? DType::kF32 : DType::kBf16;
  const auto exchange = [&] {
    return ExchangeConfig{.op = pick(0, 1) == 0 ? "alltoall" : "hop",
                          .transport = "threads",
                          .ranks = pick(1, 64),
                          .bytes_per_rank = static_cast<std::int64_t>(random() >> 3),
                          .unevenness = 1.0 + pick(0, 100) / 7.0,
                          .nodes = pick(1, 3)};
  };
  switch (pick(0, 3)) {
    case 0:
      trial.config = exchange();
      break;
    case 2:
      trial.config =
          OverlapConfig{.attention = std::get<AttentionConfig>(trial.config),
                        .exchange = exchange(),
                        .sm_margin = pick(0, 16),
                        .timed = pick(0, 1) == 0 ? TimedSide::kAttention : TimedSide::kExchange};
      for (std::size_t i = 0; i < trial.samples_ns.size(); ++i)
        trial.alone_ns.push_back(pick(1, 99));
      break;
    case 1:
      trial.config = LocalConfig{.op = "pack",
                                 .amount = static_cast<std::int64_t>(random() >> 3),
                                 .head_dim = 128,
                                 .block = {pick(1, 256), pick(1, 256)}};
      if (pick(0, 1) == 0) {
        trial.config = LocalConfig{.op = "key_lists",
                                   .amount = 900,
                                   .head_dim = 128,
                                   .block = {64, 1},
                                   .lists = ListSize{.k_tokens = 70}};
        if (pick(0, 1) == 0) std::get<LocalConfig>(trial.config).lists->keys = pick(0, 900 * 70);
      }
      break;
    default:
      break;
  }
  if (auto* attention = std::get_if<AttentionConfig>(&trial.config)) {
    AddLists(pick(0, 1), *attention);
  } else if (auto* overlap = std::get_if<OverlapConfig>(&trial.config)) {
    AddLists(pick(0, 1), overlap->attention);
  }
  if (pick(0, 3) == 0) {
    trial.outcome = TrialOutcome::kFailed;
    trial.detail = "it's \"broken\"; \xC3\xA9";
    trial.samples_ns.resize(pick(0, 1), 5);
    if (!trial.alone_ns.empty()) trial.alone_ns.resize(trial.samples_ns.size(), 7);
  }
  return trial;
}

inline ReplayRecord SomeReplay() {
  ReplayRecord replay;
  replay.plan_hash = "p";
  replay.workload_hash = "w";
  replay.device = "A CPU";
  replay.transport = "serial";
  replay.exchange_source = "database";
  replay.ranks = 2;
  replay.verified = true;
  replay.passed = false;
  replay.started_utc = "2026-01-31T12:34:58Z";
  ReplayCell cell;
  cell.step = 3;
  cell.layer = 4;
  cell.predicted_ns = 100;
  cell.replayed_ns = 140;
  cell.relative_error = 1e-6;
  cell.lse_error = 2e-6;
  cell.multiplicity = 7;
  cell.segments = {{0, SegmentKind::kAttention, 0, 0, 80, 0},
                   {1, SegmentKind::kAttention, 0, 0, 120, 0},
                   {1, SegmentKind::kHop, 1, 120, 20, 4096}};
  cell.segments[0].predicted_ns = 100;
  cell.segments[1].predicted_ns = 60;
  replay.cells = {cell, ReplayCell{}};
  return replay;
}

/// First column of the first row of `sql`, read through a connection of its own as the sqlite3
/// shell does.
inline std::string ShellText(const std::filesystem::path& path, const std::string& sql) {
  sqlite3* handle = nullptr;
  sqlite3_stmt* statement = nullptr;
  std::string text = "error";
  if (sqlite3_open(path.c_str(), &handle) == SQLITE_OK &&
      sqlite3_prepare_v2(handle, sql.c_str(), -1, &statement, nullptr) == SQLITE_OK) {
    const int code = sqlite3_step(statement);
    if (code == SQLITE_DONE) text = "";
    if (code == SQLITE_ROW) {
      const unsigned char* value = sqlite3_column_text(statement, 0);
      text = value == nullptr ? "NULL" : reinterpret_cast<const char*>(value);
    }
  }
  if (text == "error") text = sqlite3_errmsg(handle);
  sqlite3_finalize(statement);
  sqlite3_close(handle);
  return text;
}

}  // namespace dbsp::db
