// SPDX-License-Identifier: Apache-2.0
// The lists of transfers, and every exchange over both transports: threads, and the NCCL
// communicator with a fake NCCL that moves bytes between threads.
#include "runtime/ranks/exchange.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <numeric>
#include <random>
#include <sstream>
#include <tuple>

#include "build_config.h"
#include "tests/core/expect_error.h"
#include "tests/runtime/fake_nccl_ranks.h"
#include "tests/runtime/float_bytes.h"

namespace dbsp::runtime {
namespace {

using dbsp::testing::ExpectError;
using dbsp::testing::FakeNcclRanks;
using dbsp::testing::InBytes;
using dbsp::testing::Received;
using dbsp::testing::Sent;
using Counts = std::vector<std::int64_t>;

/// Counts between all ranks, and offsets with gaps of `gap` elements around every part.
struct Amounts {
  std::vector<Counts> counts;  ///< [from][to]
  std::int64_t gap = 0;

  [[nodiscard]] Counts Sent(int rank) const { return counts[rank]; }
  [[nodiscard]] Counts Received(int rank) const {
    Counts received;
    for (const Counts& row : counts) received.push_back(row[rank]);
    return received;
  }
  [[nodiscard]] Counts Offsets(const Counts& parts) const {
    Counts offsets;
    std::int64_t at = gap;
    for (const std::int64_t count : parts) {
      offsets.push_back(at);
      at += count + gap;
    }
    return offsets;
  }
  [[nodiscard]] std::size_t Total(const Counts& parts) const {
    return static_cast<std::size_t>(std::accumulate(parts.begin(), parts.end(), std::int64_t{0}) +
                                    gap * static_cast<std::int64_t>(parts.size() + 1));
  }
};

Amounts RandomAmounts(int ranks, std::mt19937& random) {
  Amounts amounts{std::vector<Counts>(ranks, Counts(ranks)), 2};
  for (Counts& row : amounts.counts) {
    for (std::int64_t& n : row)
      n = random() % 3 == 0 ? 0 : static_cast<std::int64_t>(random() % 90);
  }
  return amounts;
}

/// Element `i` that rank `from` sends to rank `to`.
float Value(int from, int to, std::int64_t i) {
  return static_cast<float>(from * 100000 + to * 1000 + static_cast<int>(i));
}

std::vector<Transfer> StepsOf(const Amounts& amounts, int rank) {
  const Counts sent = amounts.Sent(rank);
  const Counts received = amounts.Received(rank);
  return AllToAllSteps(rank, sent, amounts.Offsets(sent), received, amounts.Offsets(received));
}

TEST(ExchangeTest, InEveryStepEachRankSendsToOneAndTheTwoEndsAgree) {
  std::mt19937 random(5);
  for (const int ranks : {1, 2, 3, 5, 8}) {
    const Amounts amounts = RandomAmounts(ranks, random);
    std::vector<std::vector<Transfer>> steps;
    for (int r = 0; r < ranks; ++r) steps.push_back(StepsOf(amounts, r));
    std::vector<Counts> moved(ranks, Counts(ranks, -1));
    for (int s = 0; s < ranks; ++s) {
      std::vector<int> receivers;
      for (int r = 0; r < ranks; ++r) {
        const Transfer& step = steps[r][s];
        const Transfer& there = steps[step.send_to][s];
        EXPECT_EQ(there.receive_from, r);
        EXPECT_EQ(there.recv_count, step.send_count);
        EXPECT_EQ(step.send_offset, amounts.Offsets(amounts.Sent(r))[step.send_to]);
        EXPECT_EQ(step.recv_offset, amounts.Offsets(amounts.Received(r))[step.receive_from]);
        receivers.push_back(step.send_to);
        moved[r][step.send_to] = step.send_count;
      }
      std::sort(receivers.begin(), receivers.end());
      EXPECT_EQ(std::unique(receivers.begin(), receivers.end()), receivers.end());
    }
    EXPECT_EQ(moved, amounts.counts) << "seed 5, " << ranks << " ranks";
  }
}

TEST(ExchangeTest, AnAllGatherSendsTheSameToAll) {
  const std::vector<Transfer> steps = AllGatherSteps(1, 7, Counts{5, 7, 0}, Counts{0, 10, 20});
  EXPECT_EQ(steps,
            (std::vector<Transfer>{{1, 0, 7, 1, 10, 7}, {0, 0, 7, 2, 20, 0}, {2, 0, 7, 0, 0, 5}}));
  EXPECT_TRUE(IsEven(Counts{4, 4}, Counts{0, 4}));
  EXPECT_FALSE(IsEven(Counts{4, 4}, Counts{0, 5}));
  EXPECT_FALSE(IsEven(Counts{4, 3}, Counts{0, 4}));
}

enum class Transport : std::uint8_t { kThreads, kNccl };

class TransportTest : public ::testing::TestWithParam<std::tuple<Transport, int>> {
 protected:
  void SetUp() override {
    if (transport() == Transport::kNccl && !DBSP_HAVE_NCCL) {
      GTEST_SKIP() << "this build has no NCCL";
    }
  }
  [[nodiscard]] static Transport transport() { return std::get<0>(GetParam()); }
  [[nodiscard]] static int ranks() { return std::get<1>(GetParam()); }
  static void Run(const std::function<void(Communicator&)>& body) {
    if (transport() == Transport::kThreads) {
      RunRanks(ranks(), body);
      return;
    }
    FakeNcclRanks nccl(ranks());
    nccl.Run(body);
    EXPECT_EQ(nccl.CommunicatorsAlive(), 0);
  }
};
INSTANTIATE_TEST_SUITE_P(Both,
                         TransportTest,
                         ::testing::Combine(::testing::Values(Transport::kThreads,
                                                              Transport::kNccl),
                                            ::testing::Values(1, 2, 3, 8)),
                         [](const auto& test) {
                           const bool nccl = std::get<0>(test.param) == Transport::kNccl;
                           return (nccl ? "Nccl" : "Threads") +
                                  std::to_string(std::get<1>(test.param));
                         });

TEST_P(TransportTest, AllToAllVWritesEveryPartToItsOffsetAndNothingElse) {
  std::mt19937 random(11);
  std::vector<Amounts> rounds;
  for (int i = 0; i < 6; ++i) rounds.push_back(RandomAmounts(ranks(), random));
  Run([&](Communicator& comm) {
    const int me = comm.rank();
    for (const Amounts& amounts : rounds) {
      const Counts sent = amounts.Sent(me);
      const Counts received = amounts.Received(me);
      const Counts send_at = amounts.Offsets(sent);
      const Counts recv_at = amounts.Offsets(received);
      std::vector<float> send(amounts.Total(sent));
      std::vector<float> recv(amounts.Total(received), -7.0F);
      std::vector<float> expected = recv;
      for (int peer = 0; peer < ranks(); ++peer) {
        for (std::int64_t i = 0; i < sent[peer]; ++i) send[send_at[peer] + i] = Value(me, peer, i);
        for (std::int64_t i = 0; i < received[peer]; ++i) {
          expected[recv_at[peer] + i] = Value(peer, me, i);
        }
      }
      comm.AllToAllV(Sent(send),
                     InBytes(sent),
                     InBytes(send_at),
                     Received(recv),
                     InBytes(received),
                     InBytes(recv_at));
      EXPECT_EQ(recv, expected) << "seed 11, rank " << me;
      comm.Barrier();  // the fake reads a send buffer until its receiver has it
    }
  });
}

TEST_P(TransportTest, AllGatherVTakesEvenAndUnevenParts) {
  for (const bool even : {true, false}) {
    Counts counts;
    for (int r = 0; r < ranks(); ++r) counts.push_back(even ? 6 : r % 3 == 1 ? 0 : 4 + r);
    const Amounts layout{{}, even ? 0 : 1};
    const Counts offsets = layout.Offsets(counts);
    std::vector<float> expected(layout.Total(counts), -1.0F);
    for (int r = 0; r < ranks(); ++r) {
      for (std::int64_t i = 0; i < counts[r]; ++i) expected[offsets[r] + i] = Value(r, 0, i);
    }
    Run([&](Communicator& comm) {
      std::vector<float> send;
      for (std::int64_t i = 0; i < counts[comm.rank()]; ++i)
        send.push_back(Value(comm.rank(), 0, i));
      std::vector<float> recv(expected.size(), -1.0F);
      comm.AllGatherV(Sent(send), Received(recv), InBytes(counts), InBytes(offsets));
      EXPECT_EQ(recv, expected) << "rank " << comm.rank();
      comm.Barrier();
    });
  }
}

TEST_P(TransportTest, ReduceScatterSumsEachRanksPart) {
  constexpr std::int64_t kCount = 33;
  Run([&](Communicator& comm) {
    std::vector<float> send;
    for (int to = 0; to < ranks(); ++to) {
      for (std::int64_t i = 0; i < kCount; ++i) {
        send.push_back(static_cast<float>(comm.rank() + 10 * to + static_cast<int>(i)));
      }
    }
    std::vector<float> recv(kCount, -1.0F);
    comm.ReduceScatter(send, recv);
    for (std::int64_t i = 0; i < kCount; ++i) {
      const int sum = ranks() * (ranks() - 1) / 2;
      ASSERT_EQ(recv[i], static_cast<float>(sum + ranks() * (10 * comm.rank() + i))) << i;
    }
    comm.Barrier();
  });
}

TEST_P(TransportTest, ARingBringsEveryBlockToEveryRank) {
  Run([&](Communicator& comm) {
    const int me = comm.rank();
    const auto count_of = [](int owner) { return std::int64_t{owner % 3 == 1 ? 0 : 40 + owner}; };
    std::vector<float> now;
    for (std::int64_t i = 0; i < count_of(me); ++i) now.push_back(Value(me, 0, i));
    for (int hop = 0; hop + 1 < ranks(); ++hop) {
      const int owner = (me + hop) % ranks();
      const int coming = (owner + 1) % ranks();
      std::vector<float> next(count_of(coming), -1.0F);
      comm.StartSendRecv(
          Sent(now), (me + ranks() - 1) % ranks(), Received(next), (me + 1) % ranks());
      comm.WaitSendRecv();
      now = next;
      for (std::int64_t i = 0; i < count_of(coming); ++i) {
        ASSERT_EQ(now[i], Value(coming, 0, i)) << "rank " << me << " hop " << hop;
      }
      comm.Barrier();
    }
  });
}

TEST_P(TransportTest, InvalidCountsAreInvalidArguments) {
  Run([&](Communicator& comm) {
    const Counts good(static_cast<std::size_t>(ranks()), 0);
    const Counts more(static_cast<std::size_t>(ranks()) + 1, 0);
    const Counts negative(static_cast<std::size_t>(ranks()), -1);
    std::array data{0.0F};
    ExpectError(ErrorCode::kInvalidArgument, {"AllToAllV recv on rank"}, [&] {
      comm.AllToAllV({}, good, good, {}, more, good);
    });
    ExpectError(ErrorCode::kInvalidArgument, {"AllGatherV on rank", "none negative"}, [&] {
      comm.AllGatherV({}, {}, negative, good);
    });
    ExpectError(ErrorCode::kInvalidArgument, {"AllGatherV on rank", "outside the buffer"}, [&] {
      comm.AllGatherV({}, {}, Counts(good.size(), 1), good);
    });
    ExpectError(ErrorCode::kInvalidArgument, {"ReduceScatter on rank"}, [&] {
      comm.ReduceScatter({}, data);
    });
    ExpectError(ErrorCode::kInvalidArgument, {"StartSendRecv on rank"}, [&] {
      comm.StartSendRecv(Sent(data), comm.size(), Received(data), 0);
    });
    comm.Barrier();
  });
}

/// The fake's log of a group of steps, "[ s0:5 r1:7 ] ". Empty parts are not logged.
std::string GroupOf(const std::vector<Transfer>& steps) {
  std::ostringstream text;
  text << "[ ";
  for (const Transfer& step : steps) {
    if (step.send_count > 0) text << 's' << step.send_to << ':' << step.send_count << ' ';
    if (step.recv_count > 0) text << 'r' << step.receive_from << ':' << step.recv_count << ' ';
  }
  text << "] ";
  return text.str();
}

TEST(NcclGroupTest, AnExchangeIsOneGroupOfItsStepsInTheirOrder) {
  if (!DBSP_HAVE_NCCL) GTEST_SKIP() << "this build has no NCCL";
  constexpr int kRanks = 8;
  std::mt19937 random(3);
  const Amounts amounts = RandomAmounts(kRanks, random);
  const Counts uneven{3, 0, 5, 1, 1, 2, 0, 4};
  FakeNcclRanks nccl(kRanks);
  nccl.Run([&](NcclCommunicator& comm) {
    const Counts sent = amounts.Sent(comm.rank());
    const Counts received = amounts.Received(comm.rank());
    const std::vector<float> send(amounts.Total(sent) + 8);
    std::vector<float> recv(amounts.Total(received) + 100);
    comm.EnqueueAllToAllV(Sent(send),
                          sent,
                          amounts.Offsets(sent),
                          Received(recv),
                          received,
                          amounts.Offsets(received));
    const auto part = Sent(send).first(static_cast<std::size_t>(uneven[comm.rank()]));
    comm.EnqueueAllGatherV(part, Received(recv), uneven, Counts{0, 3, 3, 8, 9, 10, 12, 12});
    comm.EnqueueAllGatherV(Sent(send).first(4),
                           Received(recv),
                           Counts(kRanks, 4),
                           Counts{0, 4, 8, 12, 16, 20, 24, 28});
    comm.EnqueueReduceScatter(std::span(send).first(kRanks), std::span(recv).first(1));
    comm.Wait();
  });
  for (int r = 0; r < kRanks; ++r) {
    const auto gather = AllGatherSteps(r, uneven[r], uneven, Counts{0, 3, 3, 8, 9, 10, 12, 12});
    EXPECT_EQ(nccl.Calls(r),
              GroupOf(StepsOf(amounts, r)) + GroupOf(gather) + "allgather reducescatter ")
        << "rank " << r;
  }
}

}  // namespace
}  // namespace dbsp::runtime
