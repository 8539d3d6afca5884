// SPDX-License-Identifier: Apache-2.0
#include "core/parallel_for.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "core/error.h"
#include "tests/core/limited_user.h"

namespace dbsp {
namespace {

TEST(ParallelForTest, CallsEveryIndexOnceOnAnyNumberOfThreads) {
  for (const int threads : {0, 1, 3, 64}) {
    for (const int count : {0, 1, 100}) {
      std::vector<std::atomic<int>> calls(count);
      ParallelFor(count, threads, [&](int i) { ++calls[i]; });
      for (const std::atomic<int>& times : calls) EXPECT_EQ(times, 1);
    }
  }
}

TEST(ParallelForTest, OneThreadIsTheCallingOneInOrder) {
  std::vector<int> order;
  const std::thread::id caller = std::this_thread::get_id();
  ParallelFor(5, 1, [&](int i) {
    EXPECT_EQ(std::this_thread::get_id(), caller);
    order.push_back(i);
  });
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4}));
}

TEST(ParallelForTest, RethrowsAnErrorAndStartsNoFurtherIteration) {
  for (const int threads : {1, 4}) {
    std::atomic<int> started{0};
    EXPECT_THROW(ParallelFor(100000,
                             threads,
                             [&](int i) {
                               ++started;
                               if (i == 3) throw std::runtime_error("iteration 3");
                             }),
                 std::runtime_error);
    if (threads == 1) {
      EXPECT_EQ(started, 4);
    }
  }
}

TEST(ParallelForTest, GoesOnWithTheThreadsThatTheSystemGives) {
  ::testing::internal::CaptureStderr();
  const int code = testing::InChild([] {
    testing::BecomeNobody();
    testing::ForbidThreads();
    std::set<int> done;  // one thread, so no lock
    for (int loop = 0; loop < 2; ++loop) {
      ParallelFor(50, 4, [&](int i) { done.insert(i); });
    }
    return done.size() == 50 ? 0 : 1;
  });
  EXPECT_EQ(code, 0);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(),
            "note: 1 of 4 threads could be started (Resource temporarily unavailable); the work "
            "goes on with them\n");
}

TEST(StartThreadTest, AThreadThatCannotBeStartedIsUnavailable) {
  const int code = testing::InChild([] {
    testing::BecomeNobody();
    testing::ForbidThreads();
    try {
      StartThread([] {}).join();
    } catch (const Error& error) {
      return ExitCode(error.code());
    }
    return 0;
  });
  EXPECT_EQ(code, 3);
  std::atomic<bool> ran{false};
  StartThread([&] { ran = true; }).join();
  EXPECT_TRUE(ran);
}

TEST(ThreadCountTest, IsTheGivenNumberOrThatOfTheHardware) {
  EXPECT_EQ(ThreadCount(3), 3);
  EXPECT_GE(ThreadCount(0), 1);
}

}  // namespace
}  // namespace dbsp
