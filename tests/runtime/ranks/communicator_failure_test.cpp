// SPDX-License-Identifier: Apache-2.0
// Every failure of a group must end with an error on every rank and never hang.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "core/error.h"
#include "runtime/ranks/communicator.h"

namespace dbsp::runtime {
namespace {

using Counts = std::vector<std::int64_t>;
using ::testing::HasSubstr;

/// Code and message of the error that `call` throws. Fails the test when it throws nothing.
template <typename F>
std::pair<ErrorCode, std::string> ErrorOf(const F& call) {
  try {
    call();
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  ADD_FAILURE() << "no Error was thrown";
  return {};
}

/// Runs every kind of exchange once.
void ExchangeEverything(Communicator& comm) {
  const int ranks = comm.size();
  std::vector<float> send(64UL * ranks, static_cast<float>(comm.rank()));
  std::vector<float> recv(64UL * ranks);
  const Counts counts(ranks, 64);
  Counts offsets(ranks);
  for (int r = 0; r < ranks; ++r) offsets[r] = 64L * r;
  comm.AllToAllV(send.data(), counts, offsets, recv.data(), counts, offsets);
  comm.StartSendRecv(send.data(),
                     64,
                     (comm.rank() + 1) % ranks,
                     recv.data(),
                     64,
                     (comm.rank() + ranks - 1) % ranks);
  comm.WaitSendRecv();
  comm.AllGatherV(send.data(), 64, recv.data(), counts, offsets);
  comm.Barrier();
}

class CommunicatorFailureTest : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, CommunicatorFailureTest, ::testing::Values(1, 2, 3, 4, 6, 8));

TEST_P(CommunicatorFailureTest, ARankThatThrowsAtAnyTimeEndsTheOthersAndItsErrorIsRethrown) {
  const int ranks = GetParam();
  for (unsigned seed = 0; seed < 40; ++seed) {
    std::mt19937 random(seed);
    const int victim = static_cast<int>(random() % ranks);
    const int round = static_cast<int>(random() % 5);
    const auto pause = std::chrono::microseconds(random() % 300);
    std::atomic<int> entered{0};
    try {
      RunRanks(ranks, [&](Communicator& comm) {
        ++entered;
        for (int i = 0; i < 1000; ++i) {
          if (comm.rank() == victim && i == round) {
            std::this_thread::sleep_for(pause);
            throw std::out_of_range("victim");
          }
          ExchangeEverything(comm);
        }
      });
      FAIL() << "seed " << seed;
    } catch (const std::out_of_range& error) {
      EXPECT_STREQ(error.what(), "victim") << "seed " << seed;
    }
    EXPECT_EQ(entered, ranks) << "every rank must have run";
  }
}

TEST_P(CommunicatorFailureTest, AllRanksGetTheReasonOfAnAbort) {
  const int ranks = GetParam();
  for (unsigned seed = 0; seed < 20; ++seed) {
    std::mt19937 random(100 + seed);
    const int victim = static_cast<int>(random() % ranks);
    const int round = static_cast<int>(random() % 5);
    std::vector<std::string> seen(ranks);
    const auto [code, text] = ErrorOf([&] {
      RunRanks(ranks, [&](Communicator& comm) {
        try {
          for (int i = 0; i < 1000; ++i) {
            if (comm.rank() == victim && i == round) comm.Abort("out of luck");
            ExchangeEverything(comm);
          }
        } catch (const Error& error) {
          seen[comm.rank()] = error.what();
          throw;
        }
      });
    });
    EXPECT_EQ(code, ErrorCode::kMeasurement);
    for (const std::string& reason : seen) {
      EXPECT_EQ(reason, "rank " + std::to_string(victim) + " aborted: out of luck") << seed;
    }
    EXPECT_THAT(text, HasSubstr("out of luck"));
  }
}

TEST(CommunicatorFailureTest, AnAbortWithoutAnExceptionIsStillAnError) {
  const auto [code, text] =
      ErrorOf([] { RunRanks(2, [](Communicator& comm) { comm.Abort("gave up"); }); });
  EXPECT_EQ(code, ErrorCode::kMeasurement);
  EXPECT_THAT(text, HasSubstr("gave up"));
}

TEST(CommunicatorFailureTest, UnequalCountsOfAnAllToAllAreAnErrorOnBothSides) {
  std::array<ErrorCode, 3> codes{};
  const auto [code, text] = ErrorOf([&] {
    RunRanks(3, [&](Communicator& comm) {
      std::vector<float> send(30);
      std::vector<float> recv(30);
      Counts sent(3, 10);
      const Counts received(3, 10);
      const Counts offsets{0, 10, 20};
      if (comm.rank() == 0) sent[2] = 9;
      try {
        comm.AllToAllV(send.data(), sent, offsets, recv.data(), received, offsets);
        comm.Barrier();
      } catch (const Error& error) {
        codes[comm.rank()] = error.code();
        throw;
      }
    });
  });
  EXPECT_EQ(code, ErrorCode::kInternal);
  EXPECT_THAT(text, HasSubstr("rank 0 sends 9 elements, but rank 2 expects 10"));
  EXPECT_EQ(codes,
            (std::array{ErrorCode::kInternal, ErrorCode::kMeasurement, ErrorCode::kInternal}));
}

TEST(CommunicatorFailureTest, UnequalCountsOfAHopAreAnErrorOnBothSides) {
  for (int repeat = 0; repeat < 50; ++repeat) {
    std::array<ErrorCode, 2> codes{};
    const auto [code, text] = ErrorOf([&] {
      RunRanks(2, [&](Communicator& comm) {
        std::vector<float> send(8), recv(8);
        const std::int64_t expected = comm.rank() == 1 ? 7 : 8;
        try {
          comm.StartSendRecv(
              send.data(), 8, 1 - comm.rank(), recv.data(), expected, 1 - comm.rank());
          comm.WaitSendRecv();
          comm.Barrier();
        } catch (const Error& error) {
          codes[comm.rank()] = error.code();
          throw;
        }
      });
    });
    EXPECT_EQ(code, ErrorCode::kInternal);
    EXPECT_THAT(text, HasSubstr("rank 0 sends 8 elements, but rank 1 expects 7"));
    EXPECT_EQ(codes, (std::array{ErrorCode::kInternal, ErrorCode::kInternal}));
  }
}

TEST(CommunicatorFailureTest, UnequalCountsOfAnAllGatherAreAnError) {
  const auto [code, text] = ErrorOf([] {
    RunRanks(2, [](Communicator& comm) {
      std::vector<float> send(4), recv(8);
      const Counts counts{4, 4};
      const Counts offsets{0, 4};
      comm.AllGatherV(send.data(), comm.rank() == 0 ? 3 : 4, recv.data(), counts, offsets);
    });
  });
  EXPECT_EQ(code, ErrorCode::kInternal);
  EXPECT_THAT(text, HasSubstr("AllGatherV: rank 0 sends 3 elements"));
}

TEST(CommunicatorFailureTest, DifferentCollectivesAtOnceAreAnError) {
  const auto [code, text] = ErrorOf([] {
    RunRanks(2, [](Communicator& comm) {
      float value = 0.0F;
      const Counts counts{0, 0};
      if (comm.rank() == 0) {
        comm.Barrier();
      } else {
        comm.AllGatherV(&value, 0, &value, counts, counts);
      }
    });
  });
  EXPECT_EQ(code, ErrorCode::kInternal);
  EXPECT_THAT(text, HasSubstr("different collective calls"));
}

TEST(CommunicatorFailureTest, ARankThatReturnsEarlyIsNamedInTheErrorsOfWaitingRanks) {
  const auto [code, text] = ErrorOf([] {
    RunRanks(3, [](Communicator& comm) {
      if (comm.rank() != 1) comm.Barrier();
    });
  });
  EXPECT_THAT(text, HasSubstr("rank 1 has returned"));
  EXPECT_THAT(text, HasSubstr("waits in Barrier"));
}

TEST(CommunicatorFailureTest, RanksThatWaitForEachOtherGetAnError) {
  const auto [code, text] = ErrorOf([] {
    RunRanks(3, [](Communicator& comm) {
      // Rank 0 expects floats from rank 2, which sends to rank 1.
      float value = 0.0F;
      float got = 0.0F;
      const std::array<int, 3> dst{1, 2, 1};
      const std::array<int, 3> src{2, 0, 1};
      comm.StartSendRecv(&value, 1, dst[comm.rank()], &got, 1, src[comm.rank()]);
      comm.WaitSendRecv();
    });
  });
  EXPECT_THAT(text, HasSubstr("deadlock: "));
}

TEST(CommunicatorFailureTest, WrongArgumentsAreRefusedByRank) {
  const auto [code, text] = ErrorOf([] {
    RunRanks(2, [](Communicator& comm) {
      float value = 0.0F;
      comm.StartSendRecv(&value, 1, 2, &value, 1, 0);
    });
  });
  EXPECT_EQ(code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(text, HasSubstr("to rank 2"));
  const auto [count_code, count_text] = ErrorOf([] {
    RunRanks(2, [](Communicator& comm) {
      float value = 0.0F;
      const Counts one{1};
      comm.AllToAllV(&value, one, one, &value, one, one);
    });
  });
  EXPECT_EQ(count_code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(count_text, HasSubstr("1 counts"));
}

TEST(CommunicatorFailureTest, TwoHopsAtOnceAndAWaitWithoutStartAreErrors) {
  const auto [code, text] = ErrorOf([] {
    RunRanks(1, [](Communicator& comm) {
      float value = 0.0F;
      float got = 0.0F;
      comm.StartSendRecv(&value, 1, 0, &got, 1, 0);
      comm.StartSendRecv(&value, 1, 0, &got, 1, 0);
    });
  });
  EXPECT_EQ(code, ErrorCode::kInternal);
  EXPECT_THAT(text, HasSubstr("in flight"));
  const auto [wait_code, wait_text] =
      ErrorOf([] { RunRanks(1, [](Communicator& comm) { comm.WaitSendRecv(); }); });
  EXPECT_EQ(wait_code, ErrorCode::kInternal);
}

}  // namespace
}  // namespace dbsp::runtime
