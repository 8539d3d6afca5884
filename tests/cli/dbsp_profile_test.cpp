// SPDX-License-Identifier: Apache-2.0
// The dbsp-profile binary: flags, exit codes, resume after a kill.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <thread>

#include "db/database.h"
#include "tests/db/fixtures.h"

namespace dbsp::db {
namespace {

using ::testing::HasSubstr;

struct Output {
  int code = -1;
  std::string text;  ///< stdout and stderr
};

Output RunProfile(const std::string& flags) {
  Output output;
  FILE* pipe = popen((DBSP_BINARY_DIR "/bin/dbsp-profile " + flags + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return output;
  std::array<char, 4096> buffer{};
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
    output.text.append(buffer.data(), n);
  }
  output.code = WEXITSTATUS(pclose(pipe));
  return output;
}

std::size_t TrialsIn(const std::filesystem::path& path) {
  return Database::Open(path, OpenMode::kReadOnly).Trials().size();
}

TEST(DbspProfileTest, BadFlagsFilesAndDevicesHaveTheirExitCodes) {
  const TempFolder folder;
  const std::string db = " --db " + (folder / "p.db").string();
  const Output unknown = RunProfile("--budgt 1s" + db);
  EXPECT_EQ(unknown.code, 2);
  EXPECT_THAT(unknown.text, HasSubstr("--budget"));
  const Output suite = RunProfile("--suite quik" + db);
  EXPECT_EQ(suite.code, 2);
  EXPECT_THAT(suite.text, HasSubstr("quick"));
  EXPECT_EQ(RunProfile("--budget soon" + db).code, 2);
  EXPECT_EQ(RunProfile("").code, 2);
  EXPECT_EQ(RunProfile("--device cuda:7" + db).code, 3);
  EXPECT_FALSE(std::filesystem::exists(folder / "p.db"));
  std::ofstream(folder / "p.db") << "this is no database";
  const Output corrupt = RunProfile("--budget 100ms" + db);
  EXPECT_EQ(corrupt.code, 2);
  EXPECT_THAT(corrupt.text, HasSubstr("p.db"));
}

TEST(DbspProfileTest, ListAndDryRunWriteNothing) {
  const TempFolder folder;
  EXPECT_EQ(RunProfile("--list --ranks 2").code, 0);
  EXPECT_EQ(RunProfile("--dry-run --ranks 2 --db " + (folder / "p.db").string()).code, 0);
  EXPECT_FALSE(std::filesystem::exists(folder / "p.db"));
}

TEST(DbspProfileTest, AKilledRunKeepsItsTrialsAndTheNextRepeatsNone) {
  const TempFolder folder;
  const std::string db = (folder / "p.db").string();
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    execl(DBSP_BINARY_DIR "/bin/dbsp-profile",
          "dbsp-profile",
          "-q",
          "--db",
          db.c_str(),
          "--ranks",
          "2",
          "--budget",
          "60s",
          nullptr);
    _exit(127);
  }
  for (int i = 0; i < 400; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    if (ShellText(db, "SELECT count(*) > 2 FROM trials") == "1") break;
  }
  ASSERT_EQ(kill(child, SIGKILL), 0);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  const std::size_t kept = TrialsIn(db);
  ASSERT_GT(kept, 2U);
  const Output next = RunProfile("-q --budget 300ms --ranks 2 --db " + db);
  EXPECT_EQ(next.code, 0) << next.text;
  EXPECT_THAT(next.text, HasSubstr(std::to_string(kept) + " reused"));
  EXPECT_EQ(ShellText(db, "SELECT count(*) - count(DISTINCT key) FROM trials"), "0");
}

}  // namespace
}  // namespace dbsp::db
