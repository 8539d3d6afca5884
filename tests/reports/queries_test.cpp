// SPDX-License-Identifier: Apache-2.0
// Every query of a document runs against the file and gives the document's number.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "core/file.h"
#include "reports/document_parts.h"
#include "tests/core/temporary_folder.h"
#include "tests/reports/fixture.h"

namespace dbsp::reports {
namespace {

struct Answer {
  std::string problem;
  std::int64_t rows = 0;
  double first = 0;  ///< first column of the first row
};

/// Runs SQL as the sqlite3 shell does.
Answer Ask(const std::filesystem::path& path, const std::string& sql) {
  Answer answer;
  sqlite3* handle = nullptr;
  sqlite3_stmt* statement = nullptr;
  int code = sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READONLY, nullptr);
  if (code == SQLITE_OK) {
    code = sqlite3_prepare_v2(handle, sql.c_str(), -1, &statement, nullptr);
    while (code == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW) {
      if (answer.rows++ == 0) answer.first = sqlite3_column_double(statement, 0);
    }
  }
  if (sqlite3_errcode(handle) != SQLITE_DONE) answer.problem = sqlite3_errmsg(handle);
  sqlite3_finalize(statement);
  sqlite3_close(handle);
  return answer;
}

TEST(QueriesTest, EveryQueryGivesTheNumberOfTheDocument) {
  const dbsp::testing::TemporaryFolder folder;
  WriteFixture(folder.path());
  // The fixture's plan of a database alone, and as a file.
  for (const bool file : {false, true}) {
    ReportPaths paths;
    paths.database = folder / "p.db";
    if (file) paths.plans = {folder / "plan.json"};
    const Json document = MakeDocument(ReadInputs(paths));
    std::set<std::string> names;
    std::size_t numbers = 0;
    for (const Json& query : document["queries"]) {
      SCOPED_TRACE(query.dump());
      const Answer answer = Ask(folder / "p.db", query["sql"].get<std::string>());
      EXPECT_EQ(answer.problem, "");
      EXPECT_GT(answer.rows, 0);
      names.insert(query["name"].get<std::string>());
      if (query["value"].is_null()) continue;
      ++numbers;
      const double value = query["value"];
      EXPECT_NEAR(answer.first, value, 1e-9 * std::max(1.0, std::abs(value)));
      EXPECT_EQ(answer.rows, 1);
    }
    EXPECT_GE(numbers, 8U);
    for (const char* name : {"trials_total",
                             "predicted_ms",
                             "low_ms",
                             "high_ms",
                             "lower_bound_ms",
                             "replayed_ms",
                             "replay_predicted_ms",
                             "measured_relative_error",
                             "trials",
                             "outcomes",
                             "environments",
                             "cells",
                             "ledger",
                             "segments",
                             "replays"}) {
      EXPECT_TRUE(names.contains(name)) << name;
    }
  }
}

TEST(QueriesTest, WithoutADatabaseThereAreNoneAndAPlanThatIsNotStoredHasNoPredictedOnes) {
  ReportInputs inputs = FixtureInputs();
  for (const Json& query : QueriesJson(inputs, MakeDocument(inputs)["plans"])) {
    EXPECT_NE(query["name"], "predicted_ms");
  }
  inputs.database_name.clear();
  EXPECT_TRUE(MakeDocument(inputs)["queries"].empty());
}

TEST(QueriesTest, NoTextOfAFileIsPutIntoSql) {
  ReportInputs inputs = FixtureInputs();
  inputs.plans[0].hashes = {"x'); DROP TABLE trials; --"};
  inputs.stored_hashes = inputs.plans[0].hashes;
  for (const Json& query : MakeDocument(inputs)["queries"]) {
    EXPECT_EQ(query["sql"].get<std::string>().find("DROP"), std::string::npos);
  }
}

}  // namespace
}  // namespace dbsp::reports
