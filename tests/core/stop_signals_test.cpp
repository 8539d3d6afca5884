// SPDX-License-Identifier: Apache-2.0
#include "core/stop_signals.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <fstream>
#include <functional>

#include "core/file.h"
#include "tests/core/limited_user.h"
#include "tests/core/temporary_folder.h"

namespace dbsp {
namespace {

using ::testing::HasSubstr;

struct Outcome {
  int code;
  std::string err;
};

/// Runs `body` in a child whose signals have their default actions.
Outcome RunWithSignals(const std::function<int()>& body) {
  ::testing::internal::CaptureStderr();
  const int code = testing::InChild([&] {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) std::signal(signal, SIG_DFL);
    return body();
  });
  return {code, ::testing::internal::GetCapturedStderr()};
}

TEST(StopSignalsTest, ASignalSaysWhatWasKeptAndEndsTheProcess) {
  for (const auto& [signal, name] :
       {std::pair{SIGINT, "SIGINT"}, {SIGTERM, "SIGTERM"}, {SIGHUP, "SIGHUP"}}) {
    const Outcome first = RunWithSignals([signal = signal] {
      EndOnSignals("dbsp-test");
      std::raise(signal);
      return 0;
    });
    EXPECT_EQ(first.code, -signal);
    EXPECT_EQ(first.err, std::string("dbsp-test: stopped by ") + name + ": nothing was written\n");
  }
  const Outcome later = RunWithSignals([] {
    EndOnSignals("dbsp-test");
    SayKept("finished trials are kept");
    std::raise(SIGTERM);
    return 0;
  });
  EXPECT_EQ(later.err, "dbsp-test: stopped by SIGTERM: finished trials are kept\n");
}

TEST(StopSignalsTest, AnIgnoredSignalStaysIgnored) {
  const Outcome outcome = RunWithSignals([] {
    std::signal(SIGHUP, SIG_IGN);  // as nohup does
    EndOnSignals("dbsp-test");
    NoteSignals();
    std::raise(SIGHUP);
    return Interrupted() ? 1 : 0;
  });
  EXPECT_EQ(outcome.code, 0);
}

TEST(StopSignalsTest, ANotedSignalLetsTheToolEndInOrder) {
  const Outcome outcome = RunWithSignals([] {
    EndOnSignals("dbsp-test");
    NoteSignals();
    if (Interrupted()) return 1;
    std::raise(SIGTERM);
    std::raise(SIGTERM);  // timeout(1) sends it twice at once
    if (!Interrupted()) return 2;
    DieBySignal();
  });
  EXPECT_EQ(outcome.code, -SIGTERM);
  EXPECT_EQ(outcome.err, "");
}

TEST(StopSignalsTest, ALaterSecondSignalEndsAtOnce) {
  const Outcome outcome = RunWithSignals([] {
    EndOnSignals("dbsp-test");
    NoteSignals();
    SayKept("finished trials are kept");
    std::raise(SIGINT);
    ::usleep(1'100'000);
    std::raise(SIGINT);
    return 0;
  });
  EXPECT_EQ(outcome.code, -SIGINT);
  EXPECT_THAT(outcome.err, HasSubstr("stopped by SIGINT: finished trials are kept"));
}

TEST(StopSignalsTest, AnotherRanksInterruptEndsThisProcessBySigint) {
  const Outcome outcome = RunWithSignals([] {
    EndOnSignals("dbsp-test");
    NoteSignals();
    NoteInterrupt();
    DieBySignal();
    return 0;
  });
  EXPECT_EQ(outcome.code, -SIGINT);
}

TEST(StopSignalsTest, TheUnfinishedFileIsRemoved) {
  const testing::TemporaryFolder folder;
  ASSERT_EQ(::chmod(folder.path().c_str(), 0777), 0);
  const Outcome outcome = RunWithSignals([&] {
    EndOnSignals("dbsp-test");
    std::ofstream(folder / "done") << "x";
    std::ofstream(folder / "half") << "x";
    { const UnfinishedFile done((folder / "done").string()); }
    const UnfinishedFile half((folder / "half").string());
    std::raise(SIGTERM);
    return 0;
  });
  EXPECT_EQ(outcome.code, -SIGTERM);
  EXPECT_TRUE(std::filesystem::exists(folder / "done"));
  EXPECT_FALSE(std::filesystem::exists(folder / "half"));
}

}  // namespace
}  // namespace dbsp
