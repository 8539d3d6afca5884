// SPDX-License-Identifier: Apache-2.0
#include "profiler/ranks/exchange_rank.h"

#include <gtest/gtest.h>

#include <numeric>
#include <tuple>

#include "core/error.h"
#include "tests/core/expect_error.h"

namespace dbsp::profiler {
namespace {

using testing::ExpectError;

ExchangeConfig Config(const std::string& op, int ranks, std::int64_t bytes, double uneven = 1.0) {
  return {.op = op,
          .transport = "threads",
          .ranks = ranks,
          .bytes_per_rank = bytes,
          .unevenness = uneven};
}

std::int64_t SentBy(const ExchangeConfig& config, int rank, int size) {
  const std::vector<std::int64_t> counts = ExchangeRank(config, rank, size).send_counts();
  return std::accumulate(counts.begin(), counts.end(), std::int64_t{0}) * 4;
}

TEST(ExchangeRankTest, OneRankSendsTheFullBytesAndTheMeanFollowsTheUnevenness) {
  for (const double unevenness : {1.0, 1.5}) {
    const ExchangeConfig config = Config("alltoall", 8, 7'000'000, unevenness);
    double sum = 0;
    for (int r = 0; r < 8; ++r) sum += static_cast<double>(SentBy(config, r, 8));
    EXPECT_EQ(SentBy(config, 0, 8), 7'000'000);
    EXPECT_NEAR(7'000'000 / (sum / 8), unevenness, 0.001);
  }
}

TEST(ExchangeRankTest, ANeededOnlyExchangeStaysNearTheDiagonal) {
  const ExchangeConfig config = Config("needed", 8, 1'200'000);
  // Distance 1 has twice the share of distance 2: 100,000 and 50,000 floats on each side.
  EXPECT_EQ(ExchangeRank(config, 0, 8).send_counts(),
            (std::vector<std::int64_t>{0, 100'000, 50'000, 0, 0, 0, 50'000, 100'000}));
  EXPECT_EQ(ExchangeRank(Config("needed", 2, 4000), 1, 2).send_counts(),
            (std::vector<std::int64_t>{1000, 0}));
}

TEST(ExchangeRankTest, GroupsAreSuccessiveRanks) {
  const ExchangeRank rank(Config("alltoall", 2, 400), 3, 6);
  EXPECT_EQ(rank.send_counts(), (std::vector<std::int64_t>{0, 0, 100, 0, 0, 0}));
  EXPECT_EQ(ExchangeRank(Config("allgather", 4, 1200), 2, 4).recv_floats(), 400);
}

TEST(ExchangeRankTest, SendersAndReceiversAgreeAndEveryValueArrives) {
  // The thread transport compares every sender's count with the receiver's.
  for (const char* op : {"alltoall", "hop", "allgather", "reducescatter", "needed"}) {
    for (const int ranks : {2, 3, 8}) {
      const int size = std::string(op).find("all") == 0 || op[0] == 'r' ? ranks : 8 / ranks * ranks;
      const ExchangeConfig config = Config(op, ranks, 10'000, op[0] == 'a' ? 1.3 : 1.0);
      runtime::RunRanks(size, [&](runtime::Communicator& communicator) {
        const ExchangeRank rank(config, communicator.rank(), size);
        const std::vector<float> send = rank.KnownValues();
        std::vector<float> recv(rank.recv_floats(), -1.0F);
        rank.Run(communicator, send.data(), recv.data());
        EXPECT_EQ(rank.WrongValue(recv), std::nullopt);
        EXPECT_NE(rank.WrongValue(std::vector<float>(recv.size(), -1.0F)), std::nullopt);
        communicator.Barrier();
      });
    }
  }
}

TEST(ExchangeRankTest, RingsAtAStrideInterlockAndEveryValueArrives) {
  for (const auto& [ranks, stride, size] :
       {std::tuple{2, 4, 8}, std::tuple{4, 2, 8}, std::tuple{3, 2, 6}, std::tuple{2, 3, 8}}) {
    const ExchangeConfig config = Config("hop", ranks, 4000);
    runtime::RunRanks(size, [&](runtime::Communicator& communicator) {
      const ExchangeRank rank(config, communicator.rank(), size, stride);
      const std::vector<float> send = rank.KnownValues();
      std::vector<float> recv(rank.recv_floats(), -1.0F);
      rank.Run(communicator, send.data(), recv.data());
      EXPECT_EQ(rank.WrongValue(recv), std::nullopt);
      const bool whole = communicator.rank() < ranks * stride;
      EXPECT_EQ(rank.send_counts().front(), whole ? 1000 : 0) << communicator.rank();
      communicator.Barrier();
    });
  }
}

TEST(ExchangeRankTest, HostsOfGroupsFollowTheStrideAndTheStrideTheHosts) {
  const std::vector<int> two{0, 0, 0, 0, 1, 1, 1, 1};  // U x R = 4 x 2: rings are 0 4, 1 5, ...
  EXPECT_EQ(NodesOf(two, 2, 1), 1);
  EXPECT_EQ(NodesOf(two, 2, 4), 2);
  EXPECT_EQ(NodesOf(two, 4, 1), 1);
  EXPECT_EQ(NodesOf(two, 4, 2), 2);
  EXPECT_EQ(NodesOf(two, 8, 1), 2);
  EXPECT_EQ(NodesOf(two, 3, 1), 2) << "ranks 3, 4, 5";
  EXPECT_EQ(NodesOf(two, 16, 1), 1) << "no such group";
  EXPECT_EQ(NodesOf(std::vector<int>{0, 1, 0, 1}, 2, 2), 1)
      << "successive ranks are on alternating hosts";
  const auto stride = [&](const char* op, int ranks, int nodes) {
    ExchangeConfig config = Config(op, ranks, 4000);
    config.nodes = nodes;
    return StrideOf(two, config);
  };
  EXPECT_EQ(stride("hop", 2, 1), 1);
  EXPECT_EQ(stride("hop", 2, 2), 4);
  EXPECT_EQ(stride("hop", 4, 2), 2);
  EXPECT_EQ(stride("hop", 8, 2), 1);
  EXPECT_EQ(stride("hop", 2, 5), 1) << "no group is on five hosts";
  EXPECT_EQ(stride("alltoall", 2, 2), 1)
      << "all-to-alls of U x R ranks are between successive ranks";
}

TEST(ExchangeRankTest, AnUnknownExchangeIsNamed) {
  ExpectError(ErrorCode::kInvalidArgument, {"'alltoal'", "alltoall"}, [] {
    (void)ExchangeRank(Config("alltoal", 2, 4), 0, 2);
  });
}

TEST(BandwidthTest, FollowsNcclTests) {
  // Its doc/PERFORMANCE.md: algbw = S / t; busbw = algbw x (n - 1) / n, x 1 for send and receive.
  constexpr std::int64_t kSize = 8'000'000;
  constexpr std::int64_t kNs = 1'000'000;  // 8 GB/s
  for (const char* op : {"alltoall", "allgather", "reducescatter"}) {
    const Bandwidth speed = BandwidthOf(Config(op, 8, BytesPerRank(op, 8, kSize)), kNs);
    EXPECT_DOUBLE_EQ(speed.algorithm, 8.0) << op;
    EXPECT_DOUBLE_EQ(speed.bus, 7.0) << op;
  }
  for (const char* op : {"hop", "needed"}) {
    const Bandwidth speed = BandwidthOf(Config(op, 8, BytesPerRank(op, 8, kSize)), kNs);
    EXPECT_DOUBLE_EQ(speed.algorithm, 8.0) << op;
    EXPECT_DOUBLE_EQ(speed.bus, 8.0) << op;
  }
}

TEST(SweepTest, SizesGoFromBeginToEndByTheFactor) {
  EXPECT_EQ(SweepSizes(8, 128, 2), (std::vector<std::int64_t>{8, 16, 32, 64, 128}));
  EXPECT_EQ(SweepSizes(1000, 4000, 1.5), (std::vector<std::int64_t>{1000, 1500, 2250, 3375}));
  EXPECT_EQ(SweepSizes(5, 5, 2), std::vector<std::int64_t>{5});
  EXPECT_EQ(SweepSizes(1, 3, 1.1), (std::vector<std::int64_t>{1, 2, 3}));
  EXPECT_EQ(SweepSizes(1000, 1'000'000, 1.01).size(), 695U);
  for (const double factor : {1.001, 1.0000001, 1 + 1e-16, 1 + 3e-16}) {  // the last two hang
    EXPECT_THROW((void)SweepSizes(32 << 10, 32 << 20, factor), Error) << factor;
  }
  for (const auto& [begin, end, factor] :
       {std::tuple{0, 8, 2.0}, std::tuple{8, 4, 2.0}, std::tuple{8, 16, 1.0}}) {
    ExpectError(ErrorCode::kInvalidArgument, {"begin <= end"}, [&] {
      (void)SweepSizes(begin, end, factor);
    });
  }
}

TEST(SweepTest, SizesAreParsedAsInNcclTests) {
  EXPECT_EQ(ParseBytes("32768", "-b"), 32768);
  EXPECT_EQ(ParseBytes("32K", "-b"), 32768);
  EXPECT_EQ(ParseBytes("8M", "-b"), 8 << 20);
  EXPECT_EQ(ParseBytes("1G", "-b"), 1 << 30);
  for (const char* text :
       {"", "K", "-1", "0", "1T", "1KB", "1.5M", "2000G", "99999999999999999999"}) {
    ExpectError(ErrorCode::kInvalidArgument, {"--min-bytes '", "32K"}, [&] {
      (void)ParseBytes(text, "--min-bytes");
    });
  }
}

}  // namespace
}  // namespace dbsp::profiler
