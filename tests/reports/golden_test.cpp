// SPDX-License-Identifier: Apache-2.0
// The document of a database without plans, compared with the text kept in golden/. Rewritten only
// by DBSP_UPDATE_GOLDEN=1.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "core/file.h"
#include "core/json.h"
#include "reports/document.h"
#include "test_paths.h"
#include "tests/reports/fixture.h"

namespace dbsp::reports {
namespace {

TEST(ReportGoldenTest, DatabaseWithoutPlans) {
  ReportInputs inputs = FixtureInputs();
  inputs.plans.clear();
  inputs.other_plans.clear();
  inputs.replays.clear();
  inputs.compares.clear();
  Json document = Json::parse(ReportDocument(inputs));
  document.erase("generator");  // names the build's commit
  const std::string text = DumpJson(document, 1) + "\n";
  const std::filesystem::path path = DBSP_SOURCE_DIR "/tests/reports/golden/database_only.json";
  const char* update = std::getenv("DBSP_UPDATE_GOLDEN");
  if (update != nullptr && std::string(update) == "1") WriteFileAtomically(path, text);
  ASSERT_TRUE(std::filesystem::exists(path)) << path << " is missing";
  EXPECT_EQ(ReadFile(path), text);
}

}  // namespace
}  // namespace dbsp::reports
