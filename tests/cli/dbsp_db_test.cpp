// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/cli/run_tool.h"
#include "tests/core/temporary_folder.h"

namespace dbsp::testing {
namespace {

using ::testing::HasSubstr;

class DbspDbTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return (folder_ / name).string();
  }
  std::string Path(const std::string& name) { return (folder_ / name).string(); }
  static ToolResult Db(const std::vector<std::string>& arguments) {
    return RunTool("dbsp-db", arguments);
  }
  /// A database of one exchange and its time.
  std::string Measured(const std::string& name, const std::string& times) {
    const std::string table =
        Write(name + ".csv",
              "kind,op,ranks,bytes_per_rank,samples_ns,device\nexchange,alltoall,8,1000," + times +
                  ",GPU\n");
    EXPECT_EQ(Db({"import", table, "--db", Path(name)}).exit_code, 0);
    return Path(name);
  }
  static void ExpectOneLine(const ToolResult& result, const std::string& part) {
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_THAT(result.err, HasSubstr(part));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }

  TemporaryFolder folder_;
};

TEST_F(DbspDbTest, MergesChecksShrinksAndExports) {
  const std::string a = Measured("a.db", "100;101");
  const std::string b = Measured("b.db", "200;201");
  const ToolResult merged = Db({"merge", a, b, "-o", Path("all.db")});
  EXPECT_EQ(merged.exit_code, 0) << merged.err;
  EXPECT_THAT(merged.out, HasSubstr("2 environments, 2 trials"));
  EXPECT_THAT(Db({"merge", a, "-o", Path("all.db")}).out, HasSubstr("added 0 environments"));
  EXPECT_THAT(Db({"check", Path("all.db")}).out, HasSubstr("no problem found; schema version"));
  EXPECT_THAT(Db({"vacuum", Path("all.db")}).out, HasSubstr("bytes now"));
  const ToolResult table = Db({"export", Path("all.db")});
  EXPECT_EQ(std::count(table.out.begin(), table.out.end(), '\n'), 3) << table.out;
  EXPECT_EQ(Db({"export", Path("all.db"), "-o", Path("t.jsonl")}).exit_code, 0);
  EXPECT_THAT(FileText(Path("t.jsonl")), HasSubstr("\"samples_ns\":\"200;201\""));
  ExpectOneLine(Db({"export", Path("all.db"), "-o", Path("t.txt")}), "expected .csv or .jsonl");
}

TEST_F(DbspDbTest, ComparesDatabasesAndFailsOnRequest) {
  const std::string a = Measured("a.db", "1000;1001;1002;1001;1000");
  const std::string b = Measured("b.db", "2000;2001;2002;2001;2000");
  EXPECT_THAT(Db({"compare", a, b}).out, HasSubstr("SLOWER"));
  EXPECT_EQ(Db({"compare", a, b}).exit_code, 0);
  EXPECT_EQ(Db({"compare", a, b, "--fail-on-slower"}).exit_code, 1);
  EXPECT_EQ(Db({"compare", b, a, "--fail-on-slower"}).exit_code, 0);
  const auto json = nlohmann::json::parse(Db({"compare", b, a, "--json"}).out);
  EXPECT_EQ(json["rows"][0]["verdict"], "FASTER");
  ExpectOneLine(Db({"compare", a, a + ".csv"}), "one is a database and the other is not");
}

TEST_F(DbspDbTest, ComparesPlansOfOneWorkload) {
  const std::string w = Path("w.json");
  ASSERT_EQ(RunTool("dbsp-workload",
                    {"make",
                     "--heads",
                     "4",
                     "--head-dim",
                     "64",
                     "--grid",
                     "2,8,8",
                     "--layers",
                     "2",
                     "--steps",
                     "2",
                     "--block",
                     "16x16",
                     "--mask",
                     "random:density=0.4,seed=3",
                     "-o",
                     w})
                .exit_code,
            0);
  for (const char* family : {"ulysses", "ring"}) {
    ASSERT_EQ(RunTool("dbsp-tune",
                      {"--workload",
                       w,
                       "--cluster",
                       "h200x4",
                       "--plain",
                       "--families",
                       family,
                       "-o",
                       Path(std::string(family) + ".json")})
                  .exit_code,
              0);
  }
  const ToolResult same = Db({"compare", Path("ring.json"), Path("ring.json")});
  EXPECT_THAT(same.out, HasSubstr("0 FASTER, 0 SLOWER, 1 SAME, 0 AMBIGUOUS"));
  const ToolResult other = Db({"compare", Path("ring.json"), Path("ulysses.json")});
  EXPECT_EQ(other.exit_code, 0) << other.err;
  EXPECT_THAT(other.out, HasSubstr("whole plan"));
  EXPECT_THAT(other.out, HasSubstr("-> ulysses"));
}

TEST_F(DbspDbTest, HostileInputsChangeNothing) {
  const std::string good = Write("good.csv", "kind,op,time_us,device\nlocal,pack,2,GPU\n");
  const std::string bad = Write("bad.csv", "kind,op,time_us,device\nlocal,pack,-2,GPU\n");
  ExpectOneLine(Db({"import", good, bad, "--db", Path("p.db")}), "bad.csv: line 2, time_us: -2");
  EXPECT_FALSE(std::filesystem::exists(Path("p.db")));
  const std::string a = Measured("a.db", "100");
  const std::string noise = Write("noise.db", "SQLite format 3\nnot one");
  ExpectOneLine(Db({"merge", a, noise, "-o", Path("m.db")}), "noise.db");
  EXPECT_FALSE(std::filesystem::exists(Path("m.db")));
  ExpectOneLine(Db({"check", noise}), "noise.db");
  ExpectOneLine(Db({"merge", a, "-o", a}), "overwrite an input");
  ExpectOneLine(Db({"import", a, "--db", Path("p.db")}), "use dbsp-db merge");
  ExpectOneLine(Db({"import", Path("none.csv"), "--db", Path("p.db")}), "none.csv");
  ExpectOneLine(Db({"imprt"}), "import");
  const std::string folder = folder_.path().string();
  ExpectOneLine(Db({"import", folder, "--db", Path("p.db")}), folder);
}

}  // namespace
}  // namespace dbsp::testing
