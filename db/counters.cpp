// SPDX-License-Identifier: Apache-2.0
// Hardware counters of trials.
#include <cmath>

#include "core/error.h"
#include "db/database.h"
#include "db/store.h"

namespace dbsp::db {

void Store::InsertCounters(std::int64_t trial_id, const CounterRecord& counters) {
  for (const auto& [name, value] : counters.values) {
    if (!std::isfinite(value)) {
      Fail(ErrorCode::kInvalidArgument, "counter {} of trial {} is not finite", name, trial_id);
    }
  }
  connection.Prepare("INSERT INTO trial_counters VALUES (?, ?, ?)")
      .Bind(trial_id)
      .Bind(counters.source)
      .Bind(counters.why)
      .Run();
  Statement insert = connection.Prepare("INSERT INTO trial_counter_values VALUES (?, ?, ?)");
  for (const auto& [name, value] : counters.values) {
    insert.Bind(trial_id).Bind(name).Bind(value).Run();
  }
}

std::map<std::int64_t, CounterRecord> Database::Counters() const {
  std::map<std::int64_t, CounterRecord> found;
  Statement rows = store_->connection.Prepare("SELECT trial_id, source, why FROM trial_counters");
  while (rows.Step()) found[rows.Integer(0)] = {rows.Text(1), rows.Text(2), {}};
  Statement values =
      store_->connection.Prepare("SELECT trial_id, name, value FROM trial_counter_values");
  while (values.Step()) {
    found[values.Integer(0)].values.emplace(values.Text(1), values.Finite(2));
  }
  return found;
}

}  // namespace dbsp::db
