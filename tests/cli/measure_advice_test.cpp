// SPDX-License-Identifier: Apache-2.0
// Runs the commands that dbsp-tune advises until it advises none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <set>
#include <sstream>
#include <string>

#include "tests/cli/run_tool.h"
#include "tests/core/temporary_folder.h"

namespace dbsp::testing {
namespace {

class MeasureAdviceTest : public ::testing::Test {
 protected:
  /// Runs a shell command in the folder with the tools in the path. returns stdout and stderr
  std::string Shell(const std::string& command) {
    const std::string all = "cd " + ShellQuote(folder_.path().string()) +
                            " && PATH=" + ShellQuote(DBSP_BINARY_DIR "/bin") + ":\"$PATH\" && { " +
                            command + "; } >log 2>&1";
    const int status = std::system(all.c_str());  // NOLINT: a command of this test
    std::string output = FileText(folder_ / "log");
    EXPECT_EQ(status, 0) << command << "\n" << output;
    return output;
  }

  /// Commands behind "measure: " in the notes.
  static std::set<std::string> Advice(const std::string& output) {
    std::set<std::string> commands;
    std::istringstream lines(output);
    std::string line;
    while (std::getline(lines, line)) {
      const std::string mark = "; measure: ";
      const std::size_t at = line.find(mark);
      if (at != std::string::npos) commands.insert(line.substr(at + mark.size()));
    }
    return commands;
  }

  /// Every round measures what the last one advised. A command that is advised again did not end
  /// the complaint.
  void ExpectAdviceEnds(int ranks) {
    const std::string count = std::to_string(ranks);
    const std::string tune = "dbsp-tune --workload w.json --db p.db --compare --ranks " + count;
    Shell("dbsp-profile -q --budget 6s --db p.db --workload w.json --ranks " + count);
    std::set<std::string> done;
    std::set<std::string> advice = Advice(Shell(tune));
    for (int round = 0; round < 3 && !advice.empty(); ++round) {
      for (std::string command : advice) {
        EXPECT_TRUE(done.insert(command).second) << "advised again: " << command;
        const std::string tool = "dbsp-profile ";
        command.replace(command.find(tool), tool.size(), tool + "-q --budget 6s ");
        Shell(command);
      }
      advice = Advice(Shell(tune));
    }
    EXPECT_THAT(advice, ::testing::IsEmpty());
    commands_ = static_cast<int>(done.size());
  }

  TemporaryFolder folder_;
  int commands_ = 0;  ///< commands that were advised and run
};

TEST_F(MeasureAdviceTest, OverlapsOfSixRanksHaveGroupsOfTwoThreeAndSix) {
  Shell(
      "dbsp-workload make --heads 12 --head-dim 64 --tokens 512 --passes 2 --block 64x64 --mask "
      "random:density=0.3,spread=0.5 -o w.json");
  ExpectAdviceEnds(6);
  EXPECT_GT(commands_, 0) << "the quick suite has overlaps of 6 ranks alone";
}

/// Blocks of 33 tokens over 5 ranks connect 3 of them in some placements.
TEST_F(MeasureAdviceTest, PlacementsOverFiveRanksConnectThreeOfThem) {
  Shell(
      "dbsp-workload make --heads 7 --head-dim 80 --tokens 333 --block 33x7 --mask "
      "random:density=0.5 -o w.json");
  ExpectAdviceEnds(5);
}

}  // namespace
}  // namespace dbsp::testing
