// SPDX-License-Identifier: Apache-2.0
// dbsp-replay and dbsp-report on plans that are damaged or do not fit their workload: exit 2 and
// one line that names the file and the key.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "core/file.h"
#include "core/json.h"
#include "db/database.h"
#include "tests/cli/run_tool.h"
#include "tests/core/temporary_folder.h"
#include "tests/replay/plans.h"

namespace dbsp::replay {
namespace {

using dbsp::testing::RunTool;
using dbsp::testing::ToolResult;
using ::testing::HasSubstr;
using ::testing::Not;

class HostilePlanToolTest : public ::testing::Test {
 protected:
  HostilePlanToolTest() {
    const Plan plan = testing::SmallPlan(testing::SmallWorkload(1, 2), Family::kUsp, {2, 2});
    json_ = Json::parse(PlanToJson(plan));
    (void)db::Database::Open(folder_ / "p.db", db::OpenMode::kCreate);
  }

  void Write(bool with_hash = false) {
    json_.erase("content_hash");
    if (with_hash) json_["content_hash"] = HashBytes(DumpJson(json_));
    WriteFileAtomically(folder_ / "plan.json", DumpJson(json_));
  }
  [[nodiscard]] ToolResult Replay(std::vector<std::string> more = {}) const {
    std::vector<std::string> flags = {
        (folder_ / "plan.json").string(), "--cells", "first:1", "--repeat", "1", "-q"};
    flags.insert(flags.end(), more.begin(), more.end());
    return RunTool("dbsp-replay", flags);
  }
  [[nodiscard]] ToolResult Report() const {
    return RunTool("dbsp-report",
                   {"--db",
                    (folder_ / "p.db").string(),
                    "--plan",
                    (folder_ / "plan.json").string(),
                    "--json",
                    "-q"});
  }
  static void ExpectRefused(const ToolResult& run, const std::string& words) {
    EXPECT_EQ(run.exit_code, 2) << run.err;
    EXPECT_EQ(run.out, "");
    EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
    EXPECT_THAT(run.err, HasSubstr("plan.json"));
    EXPECT_THAT(run.err, HasSubstr(words));
  }

  dbsp::testing::TemporaryFolder folder_;
  Json json_;
};

TEST_F(HostilePlanToolTest, AShapeThatIsNotTheWorkloadsIsRefused) {
  json_["shape"]["tokens"] = json_["shape"]["tokens"].get<int>() + 1;
  Write(true);
  ExpectRefused(Replay(), "key 'shape.tokens': expected 137, as in the workload");
  ExpectRefused(Report(), "key 'shape.tokens'");
}

TEST_F(HostilePlanToolTest, ACellOutsideTheWorkloadIsRefused) {
  json_["cells"] = {{999, 0, 0, 0, nullptr}};
  Write();
  ExpectRefused(Replay(), "key 'cells[0]'");
  ExpectRefused(Report(), "key 'cells[0]'");
}

TEST_F(HostilePlanToolTest, RowsThatDoNotFitTheBytesAreRefusedAsCorrupt) {
  const int rows = json_["partitions"][0]["q_blocks"].get<int>();
  json_["partitions"][0]["groups"][0]["row_owner"] = Json::array();
  json_["partitions"][0]["groups"][0]["row_owner"].push_back({1, rows});
  Write(true);
  const ToolResult run = Replay();
  ExpectRefused(run, "key 'predictions[0].");
  EXPECT_THAT(run.err, HasSubstr("the plan is corrupt or was made for other masks"));
}

TEST_F(HostilePlanToolTest, APlanWithoutAHashIsReplayedAndNoted) {
  Write();
  const ToolResult noted =
      RunTool("dbsp-replay", {(folder_ / "plan.json").string(), "--cells", "first:1"});
  EXPECT_EQ(noted.exit_code, 0) << noted.err;
  EXPECT_THAT(noted.err, HasSubstr("the plan has no content_hash"));
  Write(true);
  const ToolResult hashed =
      RunTool("dbsp-replay", {(folder_ / "plan.json").string(), "--cells", "first:1"});
  EXPECT_EQ(hashed.exit_code, 0) << hashed.err;
  EXPECT_THAT(hashed.err, Not(HasSubstr("content_hash")));
}

TEST_F(HostilePlanToolTest, AnEditedPlanSaysHowToProceed) {
  Write(true);
  json_["predictions"][0]["segments"][0][4] = 12345;
  WriteFileAtomically(folder_ / "plan.json", DumpJson(json_));
  ExpectRefused(Replay(), "remove the member 'content_hash'");
  ExpectRefused(Report(), "key 'content_hash'");
}

TEST_F(HostilePlanToolTest, AForcedWorkloadWithoutTheCellsIsRefused) {
  Write();
  Workload smaller = testing::SmallWorkload(1, 1);
  WriteWorkload(smaller, folder_ / "w.json");
  ExpectRefused(Replay({"--workload", (folder_ / "w.json").string(), "--force"}), "key 'cells[1]'");
  smaller = testing::SmallWorkload(1, 2);
  smaller.model.text_tokens += 16;
  WriteWorkload(smaller, folder_ / "w.json");
  ExpectRefused(Replay({"--workload", (folder_ / "w.json").string(), "--force"}),
                "key 'shape.tokens'");
}

TEST_F(HostilePlanToolTest, ABombIsRefused) {
  std::string text = "{\"schema\":\"dbsp.plan/2\",\"cells\":[[]";
  for (int i = 0; i < 9'000'000; ++i) text += ",[]";
  std::filesystem::create_directory(folder_ / "z");
  const std::string path = (folder_ / "z/plan.json.zst").string();
  WriteFileAtomically(path, ZstdCompress(text + "]}"));
  ExpectRefused(RunTool("dbsp-replay", {path}), "more values than the 33554432");
}

TEST_F(HostilePlanToolTest, NumbersThatAreNoneAreRefusedByFlags) {
  Write();
  for (const char* number : {"nan", "inf", "1e999", "-1", "0x1p3"}) {
    const ToolResult run = Replay({"--tolerance", number});
    EXPECT_EQ(run.exit_code, 2) << run.err;
    EXPECT_THAT(run.err, HasSubstr("--tolerance"));
    EXPECT_EQ(run.out, "");
  }
}

}  // namespace
}  // namespace dbsp::replay
