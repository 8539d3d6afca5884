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
#include "tests/runtime/float_bytes.h"

namespace dbsp::runtime {
namespace {

using Counts = std::vector<std::int64_t>;
using dbsp::testing::InBytes;
using dbsp::testing::Received;
using dbsp::testing::Sent;
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
  const Counts counts(ranks, 256);
  Counts offsets(ranks);
  for (int r = 0; r < ranks; ++r) offsets[r] = 256L * r;
  const auto part = Sent(send).first(256);
  comm.AllToAllV(Sent(send), counts, offsets, Received(recv), counts, offsets);
  comm.StartSendRecv(part,
                     (comm.rank() + 1) % ranks,
                     Received(recv).first(256),
                     (comm.rank() + ranks - 1) % ranks);
  comm.WaitSendRecv();
  comm.AllGatherV(part, Received(recv), counts, offsets);
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
        comm.AllToAllV(Sent(send),
                       InBytes(sent),
                       InBytes(offsets),
                       Received(recv),
                       InBytes(received),
                       InBytes(offsets));
        comm.Barrier();
      } catch (const Error& error) {
        codes[comm.rank()] = error.code();
        throw;
      }
    });
  });
  EXPECT_EQ(code, ErrorCode::kInternal);
  EXPECT_THAT(text, HasSubstr("rank 0 sends 36 bytes, but rank 2 expects 40"));
  EXPECT_EQ(codes,
            (std::array{ErrorCode::kInternal, ErrorCode::kMeasurement, ErrorCode::kInternal}));
}

TEST(CommunicatorFailureTest, UnequalCountsOfAHopAreAnErrorOnBothSides) {
  for (int repeat = 0; repeat < 50; ++repeat) {
    std::array<ErrorCode, 2> codes{};
    const auto [code, text] = ErrorOf([&] {
      RunRanks(2, [&](Communicator& comm) {
        std::vector<float> send(8), recv(8);
        const std::size_t expected = sizeof(float) * (comm.rank() == 1 ? 7 : 8);
        try {
          comm.StartSendRecv(
              Sent(send), 1 - comm.rank(), Received(recv).first(expected), 1 - comm.rank());
          comm.WaitSendRecv();
          comm.Barrier();
        } catch (const Error& error) {
          codes[comm.rank()] = error.code();
          throw;
        }
      });
    });
    EXPECT_EQ(code, ErrorCode::kInternal);
    EXPECT_THAT(text, HasSubstr("rank 0 sends 32 bytes, but rank 1 expects 28"));
    EXPECT_EQ(codes, (std::array{ErrorCode::kInternal, ErrorCode::kInternal}));
  }
}

TEST(CommunicatorFailureTest, UnequalCountsOfAnAllGatherAreAnError) {
  const auto [code, text] = ErrorOf([] {
    RunRanks(2, [](Communicator& comm) {
      std::vector<float> send(4), recv(8);
      const Counts counts{16, 16};
      const Counts offsets{0, 16};
      const auto part = Sent(send).first(comm.rank() == 0 ? 12 : 16);
      comm.AllGatherV(part, Received(recv), counts, offsets);
    });
  });
  EXPECT_EQ(code, ErrorCode::kInternal);
  EXPECT_THAT(text, HasSubstr("AllGatherV: rank 0 sends 12 bytes"));
}

TEST(CommunicatorFailureTest, DifferentCollectivesAtOnceAreAnError) {
  const auto [code, text] = ErrorOf([] {
    RunRanks(2, [](Communicator& comm) {
      const Counts counts{0, 0};
      if (comm.rank() == 0) {
        comm.Barrier();
      } else {
        comm.AllGatherV({}, {}, counts, counts);
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
      const std::array value{0.0F};
      std::array got{0.0F};
      const std::array<int, 3> dst{1, 2, 1};
      const std::array<int, 3> src{2, 0, 1};
      comm.StartSendRecv(Sent(value), dst[comm.rank()], Received(got), src[comm.rank()]);
      comm.WaitSendRecv();
    });
  });
  EXPECT_THAT(text, HasSubstr("deadlock: "));
}

TEST(CommunicatorFailureTest, WrongArgumentsAreRefusedByRank) {
  const auto [code, text] =
      ErrorOf([] { RunRanks(2, [](Communicator& comm) { comm.StartSendRecv({}, 2, {}, 0); }); });
  EXPECT_EQ(code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(text, HasSubstr("to rank 2"));
  const auto [count_code, count_text] = ErrorOf([] {
    RunRanks(2, [](Communicator& comm) {
      const Counts one{1};
      comm.AllToAllV({}, one, one, {}, one, one);
    });
  });
  EXPECT_EQ(count_code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(count_text, HasSubstr("1 counts"));
  const auto [part_code, part_text] = ErrorOf([] {
    RunRanks(1, [](Communicator& comm) {
      const std::array sent{0.0F, 0.0F};
      std::array received{0.0F};
      comm.AllToAllV(Sent(sent), Counts{4}, Counts{4}, Received(received), Counts{4}, Counts{1});
    });
  });
  EXPECT_EQ(part_code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(part_text,
              HasSubstr("AllToAllV recv on rank 0: 4 bytes at 1 of rank 0 are outside the buffer "
                        "of 4 bytes"));
}

TEST(CommunicatorFailureTest, TwoHopsAtOnceAndAWaitWithoutStartAreErrors) {
  const auto [code, text] = ErrorOf([] {
    RunRanks(1, [](Communicator& comm) {
      const std::array value{0.0F};
      std::array got{0.0F};
      comm.StartSendRecv(Sent(value), 0, Received(got), 0);
      comm.StartSendRecv(Sent(value), 0, Received(got), 0);
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
