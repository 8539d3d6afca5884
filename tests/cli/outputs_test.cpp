// SPDX-License-Identifier: Apache-2.0
// What the tools do to the files that they are told to write, and to those that they read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <map>
#include <nlohmann/json.hpp>

#include "build_config.h"
#include "core/file.h"
#include "tests/cli/run_tool.h"
#include "tests/core/limited_user.h"

namespace dbsp {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::json;
using testing::FileText;
using testing::ToolResult;

/// Commands that write one output; OUT stands for its path.
const std::vector<std::string> kAllWriters{"dbsp-workload make --heads 1 --tokens 64 -o OUT",
                                           "dbsp-workload export w.json --step 0 --layer 0 -o OUT",
                                           "dbsp-tune --workload w.json --cluster h200x2 -o OUT",
                                           "dbsp-report --db p.db --plan plan.json -o OUT"};

/// Inputs of every tool, made once: w.json with masks from m.npy, plan.json, p.db, compare.json.
class OutputsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    inputs_ = new testing::TemporaryFolder;
    const ToolResult made =
        Shell(inputs_->path(),
              "dbsp-workload make --heads 4 --tokens 256 --block 64x64 --mask random:density=0.5 "
              "-o r.json && dbsp-workload export r.json --step 0 --layer 0 -o m.npz && "
              "dbsp-workload make --heads 4 --tokens 256 --block 64x64 --mask array:file=m.npz "
              "-o w.json && dbsp-tune --workload w.json --cluster h200x2 -o plan.json && "
              "dbsp-tune --workload w.json --cluster h200x2 --json > compare.json && "
              "dbsp-replay plan.json --db p.db");
    ASSERT_EQ(made.exit_code, 0) << made.err;
  }
  static void TearDownTestSuite() {
    delete inputs_;
    inputs_ = nullptr;
  }
  void SetUp() override { fs::copy(inputs_->path(), folder_.path()); }

  static ToolResult Shell(const fs::path& folder, const std::string& command) {
    const testing::TemporaryFolder streams;
    const std::string whole = "cd " + testing::ShellQuote(folder.string()) +
                              " && PATH=" DBSP_BINARY_DIR "/bin:$PATH && { " + command + "\n} >" +
                              (streams / "out").string() + " 2>" + (streams / "err").string() +
                              " </dev/null";
    const int status = std::system(whole.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1,
            FileText(streams / "out"),
            FileText(streams / "err")};
  }
  [[nodiscard]] ToolResult Shell(const std::string& command) const {
    return Shell(folder_.path(), command);
  }
  /// Without npm at build time the report's page does not exist, and the tool writes none.
  [[nodiscard]] std::vector<std::string> Writers() const {
    std::vector<std::string> writers = kAllWriters;
    if (Shell("dbsp-report --db p.db -o page.html").exit_code == 3) writers.pop_back();
    return writers;
  }
  /// Hash of every file, to see that nothing was written.
  [[nodiscard]] std::map<std::string, std::string> Files() const {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(folder_.path())) {
      const std::string name = fs::relative(entry.path(), folder_.path()).string();
      files[name] = entry.is_regular_file() ? HashBytes(FileText(entry.path())) : "";
    }
    return files;
  }

  static testing::TemporaryFolder* inputs_;
  testing::TemporaryFolder folder_;
};
testing::TemporaryFolder* OutputsTest::inputs_ = nullptr;

std::string With(std::string command, const std::string& output) {
  return command.replace(command.find("OUT"), 3, output);
}

void ExpectOneLine(const ToolResult& run, const std::string& command) {
  EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << command << ": " << run.err;
}

TEST_F(OutputsTest, SpecialFilesAndLinksStayWhatTheyAre) {
  ASSERT_EQ(::mkfifo((folder_ / "fifo").c_str(), 0600), 0);
  const bool device =
      ::geteuid() == 0 && ::mknod((folder_ / "null").c_str(), S_IFCHR | 0666, makedev(1, 3)) == 0;
  for (const std::string& writer : Writers()) {
    ToolResult run = Shell("cat fifo > got & " + With(writer, "fifo") + " && wait");
    EXPECT_EQ(run.exit_code, 0) << writer << run.err;
    EXPECT_TRUE(fs::is_fifo(folder_ / "fifo")) << writer;
    EXPECT_GT(FileText(folder_ / "got").size(), 50U) << writer;
    std::ofstream(folder_ / "target") << "old";
    fs::remove(folder_ / "link.npz");
    fs::create_symlink("target", folder_ / "link.npz");
    run = Shell(With(writer, "link.npz"));
    EXPECT_EQ(run.exit_code, 0) << writer << run.err;
    EXPECT_TRUE(fs::is_symlink(folder_ / "link.npz")) << writer;
    EXPECT_GT(FileText(folder_ / "target").size(), 50U) << writer;
    if (!device) continue;
    EXPECT_EQ(Shell(With(writer, "null")).exit_code, 0) << writer;
    EXPECT_TRUE(fs::is_character_file(folder_ / "null")) << writer;
  }
}

TEST_F(OutputsTest, ADashIsStandardOutputAndNothingElseIsPrintedThere) {
  for (const std::string& writer : Writers()) {
    const ToolResult file = Shell(With(writer, "out.npz"));
    ASSERT_EQ(file.exit_code, 0) << writer << file.err;
    for (const char* name : {"-", "/dev/stdout", "/dev/fd/1"}) {
      const ToolResult run = Shell(With(writer, name));
      EXPECT_EQ(run.exit_code, 0) << writer << run.err;
      if (writer.find("export") != std::string::npos) {
        EXPECT_EQ(run.out, FileText(folder_ / "out.npz")) << name;
      } else if (writer.find("report") != std::string::npos) {
        EXPECT_THAT(run.out, ::testing::StartsWith("<!"));
        EXPECT_THAT(run.out, ::testing::EndsWith("</html>\n"));
      } else {
        EXPECT_EQ(Json::parse(run.out).at("schema"),
                  Json::parse(FileText(folder_ / "out.npz")).at("schema"))
            << writer;
      }
    }
  }
  EXPECT_FALSE(fs::exists(folder_ / "-"));
  const ToolResult piped =
      Shell("dbsp-workload make --heads 1 --tokens 64 -o - | dbsp-workload info /dev/stdin --json");
  EXPECT_EQ(piped.exit_code, 0) << piped.err;
  EXPECT_EQ(Json::parse(piped.out).at("schema"), "dbsp.workload_info/1");
  // The plan names m.npz, relative to the current folder.
  const ToolResult planned =
      Shell("dbsp-tune --workload w.json --cluster h200x2 -o - | dbsp-replay /dev/stdin --verify");
  EXPECT_EQ(planned.exit_code, 0) << planned.err;
  for (const char* flag : {"--compare", "--json"}) {
    const ToolResult both =
        Shell("dbsp-tune --workload w.json --cluster h200x2 -o - " + std::string(flag));
    EXPECT_EQ(both.exit_code, 2);
    EXPECT_THAT(both.err, HasSubstr("would both go to standard output"));
  }
}

TEST_F(OutputsTest, NoToolOverwritesWhatItReads) {
  fs::create_symlink("p.db", folder_ / "soft.db");
  fs::create_hard_link(folder_ / "p.db", folder_ / "hard.db");
  fs::create_directory(folder_ / "t");
  fs::copy(folder_ / "plan.json", folder_ / "t/rank1.json");
  fs::copy(folder_ / "m.npz", folder_ / "t/m.npz");
  const auto before = Files();
  for (const std::string command :
       {"dbsp-workload make --heads 4 --tokens 256 --block 64x64 --mask array:file=m.npz -o m.npz",
        "dbsp-workload export w.json --step 0 --layer 0 -o w.json",
        "dbsp-workload export w.json --step 0 --layer 0 -o m.npz",
        "dbsp-tune --workload w.json --cluster h200x2 -o w.json",
        "dbsp-tune --workload w.json --cluster h200x2 -o m.npz",
        "dbsp-tune --workload w.json --db p.db --ranks 2 -o p.db",
        "dbsp-tune --workload w.json --db p.db --ranks 2 -o p.db-wal",
        "dbsp-tune --workload w.json --db soft.db --ranks 2 -o p.db",
        "dbsp-tune --workload w.json --db p.db --ranks 2 -o hard.db",
        "dbsp-report --db p.db -o p.db",
        "dbsp-report --db p.db -o soft.db",
        "dbsp-report --db soft.db -o p.db-journal",
        "dbsp-report --db p.db --plan plan.json -o plan.json",
        "dbsp-report --db p.db --compare compare.json -o ./compare.json",
        "dbsp-report --db p.db --json >> p.db",
        "dbsp-replay plan.json --db plan.json",
        "dbsp-replay plan.json --workload w.json --db w.json",
        "dbsp-replay plan.json --db m.npz",
        "dbsp-replay t/rank1.json --trace t",
        "dbsp-profile --db w.json --workload w.json",
        "dbsp-profile --db plan.json --refine plan.json",
        "dbsp-profile --db p.db --workload w.json --rendezvous file:w.json"}) {
    const ToolResult run = Shell(command);
    EXPECT_EQ(run.exit_code, 2) << command << run.err;
    EXPECT_THAT(run.err, HasSubstr("would overwrite an input")) << command;
    ExpectOneLine(run, command);
    EXPECT_EQ(Files(), before) << command;
  }
}

TEST_F(OutputsTest, TwoOutputsOfOneCommandHaveTwoNames) {
  const auto before = Files();
  for (const std::string command : {"dbsp-replay plan.json --db t/rank0.json --trace t",
                                    "dbsp-profile --db q.db --rendezvous file:q.db"}) {
    if (command.find("t/") != std::string::npos) fs::create_directory(folder_ / "t");
    const ToolResult run = Shell(command);
    EXPECT_EQ(run.exit_code, 2) << command << run.err;
    EXPECT_THAT(run.err, HasSubstr("would overwrite another output")) << command;
    ExpectOneLine(run, command);
  }
  fs::remove(folder_ / "t");
  EXPECT_EQ(Files(), before);
}

TEST_F(OutputsTest, EveryOutputPathIsCheckedBeforeTheWorkStarts) {
  std::ofstream(folder_ / "afile") << "x";
  fs::create_directory(folder_ / "t");
  fs::create_directory(folder_ / "t/rank1.json");
  const auto before = Files();
  for (const std::string command : {"dbsp-replay plan.json --trace afile --db led.db",
                                    "dbsp-replay plan.json --trace afile/sub --db led.db",
                                    "dbsp-replay plan.json --trace t --db led.db",
                                    "dbsp-replay plan.json --trace /proc/none --db led.db",
                                    "dbsp-tune --workload w.json --cluster h200x2 -o none/plan",
                                    "dbsp-tune --workload w.json --cluster h200x2 -o t",
                                    "dbsp-tune --workload w.json --cluster h200x2 -o afile/p",
                                    "dbsp-report --db p.db -o t",
                                    "dbsp-report --db p.db -o ''"}) {
    const ToolResult run = Shell(command);
    EXPECT_EQ(run.exit_code, 2) << command << run.err;
    EXPECT_THAT(run.err, Not(HasSubstr("cell 1"))) << command;
    ExpectOneLine(run, command);
    EXPECT_EQ(Files(), before) << command;
  }
}

TEST_F(OutputsTest, TheLedgerIsStoredEvenWhenATraceFails) {
  // The folder becomes unwritable only after the check. A replay that ends first is made longer.
  ToolResult run{.exit_code = 0, .out = {}, .err = {}};
  for (int repeat = 400; repeat <= 40000 && run.exit_code == 0; repeat *= 10) {
    fs::remove_all(folder_ / "t");
    fs::remove(folder_ / "led.db");
    run = Shell(
        "mkdir t && : > log && "
        "(while ! grep -q 'cell 1' log; do sleep 0.01; done; rmdir t; echo x > t) & "
        "sleep 0.2; dbsp-replay plan.json --transport threads --cells all --trace t --db led.db "
        "--repeat " +
        std::to_string(repeat) + " 2> log; code=$?; wait; exit $code");
  }
  EXPECT_EQ(run.exit_code, 2) << FileText(folder_ / "log");
  const ToolResult report = Shell("dbsp-report --db led.db --json");
  EXPECT_EQ(Json::parse(report.out).at("database").at("replays"), 1);
}

TEST_F(OutputsTest, FailedWritesAreNamed) {
  const ToolResult full = Shell("dbsp-workload info w.json > /dev/full");
  EXPECT_EQ(full.exit_code, 2);
  EXPECT_THAT(full.err, HasSubstr("standard output: No space left on device"));
  const ToolResult help = Shell("dbsp-tune --help > /dev/full");
  EXPECT_EQ(help.exit_code, 2);
  const ToolResult device = Shell("dbsp-workload make --heads 1 --tokens 64 -o /dev/full");
  EXPECT_EQ(device.exit_code, 2);
  EXPECT_THAT(device.err, HasSubstr("/dev/full: cannot write: No space left on device"));
  const ToolResult pipe = Shell(
      "mkfifo f; (sleep 1; dbsp-workload info w.json 2> log; echo $? > code) > f & "
      "head -c 0 f; wait");
  EXPECT_EQ(FileText(folder_ / "code"), "2\n");
  EXPECT_THAT(FileText(folder_ / "log"), HasSubstr("standard output: Broken pipe"));
  const ToolResult limit =
      Shell("ulimit -f 1; dbsp-tune --workload w.json --cluster h200x2 -o big.json");
  EXPECT_EQ(limit.exit_code, 2);
  EXPECT_THAT(limit.err, HasSubstr("big.json: cannot write: File too large"));
  EXPECT_FALSE(fs::exists(folder_ / "big.json"));
}

TEST_F(OutputsTest, AClosedStandardOutputIsNotGivenToAnotherFile) {
  const std::string database = FileText(folder_ / "p.db");
  const ToolResult run = Shell("dbsp-report --db p.db --json >&- ; code=$?; exit $code");
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("-o -: descriptor 1 is not open for writing"));
  const ToolResult replay = Shell("dbsp-replay plan.json --db q.db >&- 2>&-");
  EXPECT_EQ(replay.exit_code, 2);
  EXPECT_EQ(Shell("dbsp-report --db q.db --json").exit_code, 0);
  EXPECT_EQ(FileText(folder_ / "p.db"), database);
}

TEST_F(OutputsTest, SpecialFilesAsInputsAreRefusedBeforeTheyAreRead) {
  ASSERT_EQ(::mkfifo((folder_ / "fifo").c_str(), 0600), 0);
  fs::create_symlink("/dev/zero", folder_ / "zero.npy");
  fs::create_symlink("fifo", folder_ / "fifo.npy");
  fs::create_symlink("fifo", folder_ / "fifo.csv");
  fs::create_symlink("fifo", folder_ / "fifo.json.zst");
  for (const std::string file : {"fifo", "/dev/zero", "."}) {
    for (const std::string command : {"dbsp-workload info IN",
                                      "dbsp-workload export IN --step 0 --layer 0 -o o.npz",
                                      "dbsp-tune --workload IN --cluster h200x2 -o o.json",
                                      "dbsp-tune --workload w.json --db IN --ranks 2 -o o.json",
                                      "dbsp-replay IN",
                                      "dbsp-replay plan.json --workload IN",
                                      "dbsp-replay plan.json --db IN",
                                      "dbsp-report --db IN --json",
                                      "dbsp-report --db p.db --plan IN --json",
                                      "dbsp-report --db p.db --compare IN --json",
                                      "dbsp-profile --db q.db --workload IN",
                                      "dbsp-profile --db q.db --refine IN",
                                      "dbsp-profile --db IN"}) {
      std::string call = command;
      call.replace(call.find("IN"), 2, file);
      const ToolResult run = Shell("timeout 20 " + call);
      EXPECT_EQ(run.exit_code, 2) << call << run.err;
      EXPECT_THAT(run.err, HasSubstr("regular file")) << call;
      ExpectOneLine(run, call);
    }
  }
  for (const std::string mask : {"array:file=zero.npy",
                                 "array:file=fifo.npy",
                                 "density:file=fifo.csv",
                                 "density:file=fifo.npy",
                                 "sta:file=fifo.csv"}) {
    const ToolResult run =
        Shell("timeout 20 dbsp-workload make --heads 4 --tokens 256 -o o.json --mask " + mask);
    EXPECT_EQ(run.exit_code, 2) << mask;
    EXPECT_THAT(run.err, HasSubstr("not a regular file")) << mask;
  }
  EXPECT_EQ(Shell("timeout 20 dbsp-replay fifo.json.zst").exit_code, 2);
  EXPECT_FALSE(fs::exists(folder_ / "o.json"));
}

TEST_F(OutputsTest, AWorkloadOrPlanThatNamesASpecialFileIsRefused) {
  fs::remove(folder_ / "m.npz");
  for (const bool fifo : {true, false}) {
    if (fifo) {
      ASSERT_EQ(::mkfifo((folder_ / "m.npz").c_str(), 0600), 0);
    } else {
      fs::remove(folder_ / "m.npz");
      fs::create_symlink("/dev/zero", folder_ / "m.npz");
    }
    for (const std::string command : {"dbsp-workload info w.json",
                                      "dbsp-workload export w.json --step 0 --layer 0 -o o.npz",
                                      "dbsp-tune --workload w.json --cluster h200x2 -o o.json",
                                      "dbsp-replay plan.json"}) {
      const ToolResult run = Shell("timeout 20 " + command);
      EXPECT_EQ(run.exit_code, 2) << command << run.err;
      EXPECT_THAT(run.err, HasSubstr("not a regular file")) << command;
      EXPECT_FALSE(fs::exists(folder_ / "o.json"));
    }
  }
}

TEST_F(OutputsTest, NamesFromFilesCannotActOnTheTerminal) {
  Json workload = Json::parse(FileText(folder_ / "r.json"));
  workload["model"]["name"] = "x\x1b]0;pwned\x07\x1b[31m\nhash    deadbeef\u202e";
  std::ofstream(folder_ / "e.json") << workload.dump();
  const auto expect_plain = [&](const std::string& command, int code) {
    const ToolResult run = Shell(command);
    EXPECT_EQ(run.exit_code, code) << command << run.err;
    for (const std::string& text : {run.out, run.err}) {
      EXPECT_THAT(text, Not(HasSubstr("\x1b"))) << command;
      EXPECT_THAT(text, Not(HasSubstr("\x07"))) << command;
      EXPECT_THAT(text, Not(HasSubstr("\u202e"))) << command;
      EXPECT_THAT(text, Not(HasSubstr("\nhash    deadbeef"))) << command;
    }
    return run;
  };
  const ToolResult info = expect_plain("dbsp-workload info e.json", 0);
  EXPECT_THAT(info.out, HasSubstr("model   x\\u001b]0;pwned\\u0007\\u001b[31m\\nhash    deadbeef"));
  const ToolResult json = expect_plain("dbsp-workload info e.json --json", 0);
  EXPECT_EQ(Json::parse(json.out).at("model").at("name"), workload["model"]["name"]);
  expect_plain("dbsp-tune --workload e.json --cluster h200x2 -o e_plan.json --compare", 0);
  const ToolResult replay = expect_plain("dbsp-replay e_plan.json", 0);
  EXPECT_THAT(replay.out, HasSubstr("plan        x\\u001b]0;pwned"));
  expect_plain("dbsp-report --db p.db --plan e_plan.json --json", 0);
  expect_plain(
      "dbsp-workload make --heads 1 --tokens 64 -o n.json --name \"$(printf "
      "'a\\033[31m\\nhash    deadbeef')\"",
      0);
  expect_plain(
      "touch \"$(printf 'f\\033[31m\\nhash    deadbeef')\"; "
      "dbsp-workload info \"$(printf 'f\\033[31m\\nhash    deadbeef')\"",
      2);
  expect_plain("dbsp-tune --wor\"$(printf '\\033[31m\\nhash    deadbeef')\" x", 2);
  const ToolResult bytes = Shell("dbsp-workload info \"$(printf 'f\\377\\233')\"");
  EXPECT_THAT(bytes.err, HasSubstr("f\\xff\\x9b: no such file"));
}

TEST_F(OutputsTest, AToolWithoutThreadsGoesOnOrSaysWhatIsMissing) {
  if (std::string(DBSP_SANITIZE).find("thread") != std::string::npos) {
    GTEST_SKIP() << "ThreadSanitizer needs a thread of its own";
  }
  fs::permissions(folder_.path(), fs::perms::all);
  // The build may lie in a folder that only its owner may enter.
  for (const char* const tool : {"dbsp-tune", "dbsp-replay"}) {
    fs::copy_file(fs::path(DBSP_BINARY_DIR "/bin") / tool, folder_ / tool);
  }
  ASSERT_EQ(Shell("dbsp-workload make --heads 4 --layers 4 --tokens 256 --block 64x64 --mask "
                  "random:density=0.5 -o layers.json")
                .exit_code,
            0);
  const auto run = [&](const std::vector<std::string>& arguments) {
    const testing::TemporaryFolder streams;
    ToolResult result;
    result.exit_code = testing::InChild([&] {
      if (::chdir(folder_.path().c_str()) != 0 ||
          std::freopen((streams / "out").c_str(), "w", stdout) == nullptr ||
          std::freopen((streams / "err").c_str(), "w", stderr) == nullptr) {
        return 96;
      }
      testing::BecomeNobody();
      testing::ForbidThreads();
      std::vector<char*> argv;
      for (const std::string& argument : arguments) {
        argv.push_back(const_cast<char*>(argument.c_str()));
      }
      argv.push_back(nullptr);
      ::execv((folder_ / arguments[0]).c_str(), argv.data());
      return 95;
    });
    result.out = FileText(streams / "out");
    result.err = FileText(streams / "err");
    return result;
  };
  const ToolResult tune = run({"dbsp-tune",
                               "--workload",
                               "layers.json",
                               "--cluster",
                               "h200x2",
                               "--threads",
                               "4",
                               "-o",
                               "few.json"});
  EXPECT_EQ(tune.exit_code, 0) << tune.err;
  EXPECT_THAT(tune.err, HasSubstr("note: 1 of 4 threads could be started"));
  EXPECT_TRUE(fs::exists(folder_ / "few.json"));
  const ToolResult replay = run({"dbsp-replay", "plan.json", "--transport", "threads"});
  EXPECT_EQ(replay.exit_code, 3) << replay.err;
  EXPECT_THAT(replay.err, HasSubstr("cannot start"));
  EXPECT_EQ(replay.out, "");
}

}  // namespace
}  // namespace dbsp
