// SPDX-License-Identifier: Apache-2.0
#include "planner/peak_bytes.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "planner/schedule.h"
#include "tests/planner/random_case.h"

namespace dbsp::planner {
namespace {

/// Bytes of rank's Q, O and K/V, from the lists; `step` K/V and the ones fetched beside them.
std::int64_t HeldAt(const RandomCase& made, const RankProgram& program, std::size_t step) {
  const AttentionShape& shape = made.layer.shape;
  std::int64_t tokens = 0;
  for (const HeadRows& head : program.heads) {
    for (const int i : head.rows)
      tokens += std::int64_t{program.columns.size() > 1 ? 3 : 2} * shape.q_tokens(i);
  }
  for (std::size_t t = step; t < std::min(step + 2, program.columns.size()); ++t) {
    for (const HeadColumns& head : program.columns[t]) {
      for (const int j : head.cols) tokens += 2 * std::int64_t{shape.k_tokens(j)};
    }
  }
  return tokens * shape.head_dim * BytesOf(DType::kF32);
}

TEST(PeakBytesTest, IsWhatTheListsPutOnARankAtItsWorstStep) {
  std::mt19937_64 random(55);
  for (int trial = 0; trial < 1500; ++trial) {
    const RandomCase made = MakeRandomCase(random);
    const Schedule schedule =
        BuildSchedule(made.layer.shape, made.layer.masks, made.partition, made.strategy, made.home);
    const LayerWork work = BuildLayerWork(
        made.layer.shape, made.layer.masks, made.partition, made.strategy, made.home, DType::kF32);
    const std::vector<std::int64_t> peak = PeakBytes(work);
    ASSERT_EQ(peak.size(), schedule.rank.size());
    std::int64_t most = 0;
    for (std::size_t r = 0; r < peak.size(); ++r) {
      std::int64_t worst = 0;
      for (std::size_t t = 0; t < static_cast<std::size_t>(schedule.steps); ++t) {
        worst = std::max(worst, HeldAt(made, schedule.rank[r], t));
      }
      ASSERT_EQ(peak[r], worst) << "trial " << trial << " rank " << r;
      most = std::max(most, worst);
    }
    EXPECT_EQ(MemoryProblem(work, most), "");
    if (most > 0) {
      const std::string problem = MemoryProblem(work, most - 1);
      EXPECT_NE(problem.find("holds " + std::to_string(most) + " bytes"), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace dbsp::planner
