// SPDX-License-Identifier: Apache-2.0
// A database file: every record is read.
#include "db/database.h"
#include "tests/fuzz/fuzz_target.h"

DBSP_FUZZ_TARGET() {
  const auto path = dbsp::fuzz::InputFile(bytes, ".db");
  const auto database = dbsp::db::Database::Open(path, dbsp::db::OpenMode::kReadOnly);
  const auto read = [](const auto& query) { dbsp::fuzz::ExpectResultOrError(query); };
  read([&] { (void)database.Environments(); });
  read([&] { (void)database.Trials(); });
  read([&] { (void)database.Counters(); });
  read([&] { (void)database.Kernels(); });
  read([&] { (void)database.Plans(); });
  read([&] { (void)database.Replays(); });
  read([&] { (void)database.MeasurementHash(); });
  read([&] { (void)database.Integrity(); });
}
