// SPDX-License-Identifier: Apache-2.0
#include "runtime/ranks/communicator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <numeric>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

#include "core/error.h"
#include "tests/runtime/float_bytes.h"

namespace dbsp::runtime {
namespace {

using Counts = std::vector<std::int64_t>;
using dbsp::testing::InBytes;
using dbsp::testing::Received;
using dbsp::testing::Sent;

/// Element `i` that rank `src` sends to `dst` in round `round`.
float Value(int round, int src, int dst, std::int64_t i) {
  return static_cast<float>(round * 1000000 + src * 100000 + dst * 10000 + i);
}

Counts OffsetsOf(const Counts& counts, std::int64_t gap) {
  Counts offsets(counts.size());
  std::int64_t at = gap;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    offsets[i] = at;
    at += counts[i] + gap;
  }
  return offsets;
}

std::int64_t TotalOf(const Counts& counts, std::int64_t gap) {
  return std::accumulate(counts.begin(), counts.end(), std::int64_t{0}) +
         gap * static_cast<std::int64_t>(counts.size() + 1);
}

class CommunicatorTest : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, CommunicatorTest, ::testing::Values(1, 2, 3, 4, 6, 8));

TEST_P(CommunicatorTest, AllToAllVEqualsASerialCopy) {
  const int ranks = GetParam();
  constexpr int kRounds = 20;
  constexpr std::int64_t kGap = 3;
  constexpr float kGuard = -7.0F;
  std::mt19937 random(1234);
  // counts[round][src][dst]; a third of the pairs exchange nothing.
  std::vector<std::vector<Counts>> counts(kRounds, std::vector<Counts>(ranks, Counts(ranks)));
  for (auto& round : counts) {
    for (auto& row : round) {
      for (auto& n : row) n = random() % 3 == 0 ? 0 : static_cast<std::int64_t>(random() % 300);
    }
  }
  RunRanks(ranks, [&](Communicator& comm) {
    for (int round = 0; round < kRounds; ++round) {
      const int me = comm.rank();
      const Counts& sent = counts[round][me];
      Counts received(ranks);
      for (int src = 0; src < ranks; ++src) received[src] = counts[round][src][me];
      const Counts send_at = OffsetsOf(sent, kGap);
      const Counts recv_at = OffsetsOf(received, kGap);
      std::vector<float> send(TotalOf(sent, kGap));
      for (int dst = 0; dst < ranks; ++dst) {
        for (std::int64_t i = 0; i < sent[dst]; ++i)
          send[send_at[dst] + i] = Value(round, me, dst, i);
      }
      std::vector<float> recv(TotalOf(received, kGap), kGuard);
      std::vector<float> expected = recv;
      for (int src = 0; src < ranks; ++src) {
        for (std::int64_t i = 0; i < received[src]; ++i) {
          expected[recv_at[src] + i] = Value(round, src, me, i);
        }
      }
      comm.AllToAllV(Sent(send),
                     InBytes(sent),
                     InBytes(send_at),
                     Received(recv),
                     InBytes(received),
                     InBytes(recv_at));
      std::fill(send.begin(), send.end(), -1.0F);  // no rank may still read it
      EXPECT_EQ(recv, expected) << "seed 1234, round " << round << ", rank " << me;
    }
  });
}

TEST_P(CommunicatorTest, AllGatherVBringsEveryPartToEveryRank) {
  const int ranks = GetParam();
  std::mt19937 random(99);
  for (int round = 0; round < 10; ++round) {
    Counts counts(ranks);
    for (auto& n : counts) n = random() % 4 == 0 ? 0 : static_cast<std::int64_t>(random() % 500);
    const Counts offsets = OffsetsOf(counts, 2);
    std::vector<float> expected(TotalOf(counts, 2), 0.5F);
    for (int src = 0; src < ranks; ++src) {
      for (std::int64_t i = 0; i < counts[src]; ++i)
        expected[offsets[src] + i] = Value(round, src, 0, i);
    }
    RunRanks(ranks, [&](Communicator& comm) {
      std::vector<float> send(counts[comm.rank()]);
      for (std::size_t i = 0; i < send.size(); ++i) {
        send[i] = Value(round, comm.rank(), 0, static_cast<std::int64_t>(i));
      }
      std::vector<float> recv(expected.size(), 0.5F);
      comm.AllGatherV(Sent(send), Received(recv), InBytes(counts), InBytes(offsets));
      EXPECT_EQ(recv, expected) << "round " << round << ", rank " << comm.rank();
    });
  }
}

TEST_P(CommunicatorTest, RingOfHopsBringsEveryBlockToEveryRank) {
  const int ranks = GetParam();
  RunRanks(ranks, [&](Communicator& comm) {
    const int me = comm.rank();
    const auto size_of = [](int owner) { return owner % 3 == 1 ? 0 : 40 + owner; };
    std::vector<float> now;
    for (int i = 0; i < size_of(me); ++i) now.push_back(Value(0, me, 0, i));
    std::vector<float> next;
    for (int hop = 0; hop < ranks; ++hop) {
      const int owner = (me - hop + ranks) % ranks;
      const int coming = (owner - 1 + ranks) % ranks;
      if (hop + 1 < ranks) {
        next.assign(size_of(coming), -1.0F);
        comm.StartSendRecv(Sent(now), (me + 1) % ranks, Received(next), (me - 1 + ranks) % ranks);
      }
      for (int i = 0; i < size_of(owner); ++i) {  // the work under the hop
        ASSERT_EQ(now[i], Value(0, owner, 0, i)) << "rank " << me << " hop " << hop;
      }
      if (hop + 1 < ranks) {
        comm.WaitSendRecv();
        std::swap(now, next);
      }
    }
  });
}

TEST(CommunicatorTest, StartSendRecvDoesNotWaitForTheOtherRank) {
  std::atomic<bool> started{false};
  RunRanks(2, [&](Communicator& comm) {
    const std::array sent{static_cast<float>(comm.rank())};
    std::array received{-1.0F};
    const int other = 1 - comm.rank();
    if (comm.rank() == 1) {
      // Rank 0 returns from StartSendRecv although this rank has not begun.
      while (!started) std::this_thread::yield();
    }
    comm.StartSendRecv(Sent(sent), other, Received(received), other);
    if (comm.rank() == 0) started = true;
    comm.WaitSendRecv();
    EXPECT_EQ(received[0], static_cast<float>(other));
  });
}

TEST(CommunicatorTest, HopsOfSomeRanksDoNotInvolveTheOthers) {
  // Groups of different sizes make different numbers of hops before the common barrier.
  std::vector<float> received(3, -1.0F);
  RunRanks(3, [&](Communicator& comm) {
    const std::array sent{static_cast<float>(10 + comm.rank())};
    if (comm.rank() < 2) {
      comm.StartSendRecv(Sent(sent),
                         1 - comm.rank(),
                         Received(received).subspan(comm.rank() * sizeof(float), sizeof(float)),
                         1 - comm.rank());
      comm.WaitSendRecv();
    }
    comm.Barrier();
  });
  EXPECT_EQ(received, (std::vector<float>{11.0F, 10.0F, -1.0F}));
}

TEST(CommunicatorTest, BarrierSeparatesTheWorkBeforeAndAfter) {
  constexpr int kRanks = 6;
  std::atomic<int> arrived{0};
  RunRanks(kRanks, [&](Communicator& comm) {
    for (int round = 1; round <= 50; ++round) {
      ++arrived;
      comm.Barrier();
      EXPECT_EQ(arrived, round * kRanks);
      comm.Barrier();
    }
  });
}

TEST(CommunicatorTest, RankCountBelowOneIsRefused) {
  EXPECT_THROW(RunRanks(0, [](Communicator&) {}), Error);
}

}  // namespace
}  // namespace dbsp::runtime
