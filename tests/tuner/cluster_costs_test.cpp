// SPDX-License-Identifier: Apache-2.0
#include "tuner/cluster_costs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dbsp::tuner {
namespace {

using ::testing::HasSubstr;

planner::AttentionWork Dense(int heads, int side, int head_dim, BlockSize block) {
  planner::AttentionWork work;
  work.heads = heads;
  work.head_dim = head_dim;
  work.block = block;
  work.active_rows = static_cast<std::int64_t>(heads) * side;
  work.active_blocks = work.active_rows * side;
  return work;
}

TEST(ClusterCostsTest, DenseAttentionRunsAtThePublishedRates) {
  // 75,776 tokens, 5 heads, the size of one rank of Wan2.1 14B: published dense rates are
  // 595-701 TFLOP/s (H100, d 128) and up to 230 (A100); sparse kernels reach 0.88-0.95 of them.
  const auto rate = [](const char* name, int head_dim) {
    const ClusterCosts costs(ParseCluster(name));
    const auto work = Dense(5, 592, head_dim, {128, 128});
    const double flops = 4.0 * 128 * 128 * head_dim * static_cast<double>(work.active_blocks);
    return flops / costs.Attention(work).ns / 1e3;
  };
  EXPECT_GT(rate("h100x8", 128), 550);
  EXPECT_LT(rate("h100x8", 128), 701);
  EXPECT_GT(rate("h200x8", 64), 400);
  EXPECT_LT(rate("h200x8", 64), 497);
  EXPECT_GT(rate("a100x8", 128), 180);
  EXPECT_LT(rate("a100x8", 128), 230);
}

TEST(ClusterCostsTest, ExchangesFollowThePublishedLinks) {
  const ClusterCosts h200(ParseCluster("h200x8"));
  EXPECT_NEAR(h200.AllToAll(planner::FirstRanks(8), 370'000'000).ns, 1e6, 0.03e6);  // 370 GB/s
  const ClusterCosts a100(ParseCluster("a100x8"));
  EXPECT_NEAR(a100.Hop(planner::FirstRanks(4), 240'000'000).ns, 1e6, 0.03e6);
  EXPECT_GE(h200.AllToAll(planner::FirstRanks(2), 1).ns, 10e3);  // NCCL's latency
  EXPECT_LE(h200.AllToAll(planner::FirstRanks(2), 1).ns, 20e3);
}

TEST(ClusterCostsTest, LinksAndNetworkCarryTheirBytesAtTheSameTime) {
  const ClusterCosts costs(ParseCluster("h100x2x8"));
  const std::vector<int> all = planner::FirstRanks(16);
  EXPECT_EQ(costs.ranks_per_node(), 8);
  // 8 of the 15 others are on the other node: 256 of 480 MB at 48 GB/s.
  EXPECT_NEAR(costs.AllToAll(all, 480'000'000).ns, 256e6 / 48 + 45e3, 1e3);
  // The maintainers of NCCL say: bus bandwidth between N nodes is about N / (N - 1) times the
  // bandwidth of the network.
  const ClusterCosts eight(ParseCluster("h100x8x8"));
  const double ns = eight.AllToAll(planner::FirstRanks(64), 630'000'000).ns;
  EXPECT_NEAR(630e6 / ns, 48 * 63.0 / 56.0, 0.5);
  EXPECT_NEAR(costs.AllToAllOfNodes(all, 370'000'000, 4'800'000).ns, 1e6 + 15e3, 1e3);
  EXPECT_NEAR(costs.AllToAllOfNodes(all, 37'000'000, 48'000'000).ns, 1e6 + 45e3, 1e3);
  EXPECT_EQ(costs.AllToAllOfNodes(all, 0, 0).ns, 0);
}

TEST(ClusterCostsTest, RanksOfOneNodeDoNotUseTheNetwork) {
  const ClusterCosts one(ParseCluster("h100x8"));
  const ClusterCosts two(ParseCluster("h100x2x8"));
  const std::vector<int> second{8, 9, 10, 11};
  const std::vector<int> across{7, 8};
  EXPECT_EQ(two.AllToAll(second, 1 << 20).ns, one.AllToAll(second, 1 << 20).ns);
  EXPECT_EQ(two.Hop(second, 1 << 20).ns, one.Hop(second, 1 << 20).ns);
  EXPECT_GT(two.Hop(across, 48'000'000).ns, 1e6);
  // In a ring that crosses nodes only the hops between nodes use the network.
  const std::vector<int> ring{4, 0, 12, 8};
  EXPECT_LT(two.Hop(ring, 48'000'000).ns, 0.2e6);
}

TEST(ClusterCostsTest, NoExchangeIsFasterThanTheBound) {
  for (const char* name : {"h100x8", "h100x2x8", "a800x8", "gb200x64", "h20x4x8"}) {
    const ClusterCosts costs(ParseCluster(name));
    const std::vector<int> all = planner::FirstRanks(costs.cluster().gpus());
    for (const std::int64_t bytes : {1'000, 1'000'000, 1'000'000'000}) {
      EXPECT_LE(costs.BandwidthBoundNs(bytes), costs.AllToAll(all, bytes).ns) << name;
      EXPECT_LE(costs.BandwidthBoundNs(bytes), costs.Hop(all, bytes).ns) << name;
      if (costs.ranks_per_node() == 0) continue;
      EXPECT_LE(costs.BandwidthBoundNs(bytes),
                costs.AllToAllOfNodes(all, bytes - bytes / 8, bytes / 8).ns)
          << name;
    }
  }
}

TEST(ClusterCostsTest, RemarksNameNodesAndNetwork) {
  const ClusterCosts costs(ParseCluster("h200x2x8"));
  EXPECT_THAT(costs.Remarks().front(),
              HasSubstr("inside 2 nodes of 8 GPUs, 48 GB/s of network per GPU"));
}

TEST(ClusterCostsTest, IsMarkedAnalyticWithWideIntervals) {
  const ClusterCosts costs(ParseCluster("h100x4"));
  EXPECT_EQ(costs.source(), CostSource::kAnalytic);
  for (const planner::Estimate& e : {costs.Attention(Dense(4, 30, 128, {128, 64})),
                                     costs.Copy(1 << 20),
                                     costs.Merge(1000, 128),
                                     costs.AllToAll(planner::FirstRanks(4), 1 << 20),
                                     costs.Hop(planner::FirstRanks(2), 1 << 20)}) {
    EXPECT_GT(e.ns, 0);
    EXPECT_LE(e.low_ns, 0.8 * e.ns);
    EXPECT_GE(e.high_ns, 1.2 * e.ns);
  }
  ASSERT_FALSE(costs.Remarks().empty());
  EXPECT_THAT(costs.Remarks().front(), HasSubstr("analytic"));
}

TEST(ClusterCostsTest, EmptyWorkCostsNothing) {
  const ClusterCosts costs(ParseCluster("h200x8"));
  EXPECT_EQ(costs.Attention({}).high_ns, 0);
  EXPECT_EQ(costs.Copy(0).high_ns, 0);
  EXPECT_EQ(costs.Merge(0, 128).high_ns, 0);
  EXPECT_EQ(costs.AllToAll(planner::FirstRanks(1), 100).high_ns, 0);
  EXPECT_EQ(costs.Hop(planner::FirstRanks(8), 0).high_ns, 0);
  EXPECT_EQ(costs.BandwidthBoundNs(0), 0);
}

TEST(ClusterCostsTest, FewRowsLeaveMultiprocessorsIdle) {
  const ClusterCosts costs(ParseCluster("h200x8"));
  auto few = Dense(1, 132, 128, {128, 128});
  auto fewer = few;
  fewer.active_rows = 1;
  fewer.active_blocks = few.active_blocks / 132;
  // One row of 132 is 1/132 of the work and takes as long.
  EXPECT_NEAR(costs.Attention(fewer).ns, costs.Attention(few).ns, 0.01 * costs.Attention(few).ns);
}

TEST(ClusterCostsTest, OverlapSlowsNothingDownExceptInTheIntervalWithARemark) {
  const ClusterCosts costs(ParseCluster("h100x8"));
  const auto slowdown = costs.Slowdown(planner::Traffic::kAllToAll, 8);
  EXPECT_EQ(slowdown.attention.value, 1);
  EXPECT_NEAR(slowdown.attention.high, 1.32, 1e-9);
  EXPECT_EQ(slowdown.exchange.value, 1);
  EXPECT_NEAR(slowdown.exchange.high, 1.3, 1e-9);
  EXPECT_NE(costs.Remarks().front().find("at worst attention by 32% and exchanges by 30%"),
            std::string::npos)
      << costs.Remarks().front();
}

}  // namespace
}  // namespace dbsp::tuner
