// SPDX-License-Identifier: Apache-2.0
#include "planner/placement/swap_scan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "tests/planner/each_target.h"
#include "tests/planner/random_layer.h"

namespace dbsp::planner {
namespace {

TEST(SwapScanTest, ScoresEqualThoseOfSinglePartnersToTheLastBitWithEveryInstructionSet) {
  ForEachTarget([] {
    std::mt19937_64 random(53);
    for (int trial = 0; trial < 200; ++trial) {
      SCOPED_TRACE(::testing::Message() << "trial " << trial);
      const auto ring = static_cast<std::size_t>(Draw(random, 2, 9));
      const std::size_t count = kScanLanes * static_cast<std::size_t>(Draw(random, 1, 4));
      // Thirds are not exact: another order of operations or a fused multiply-add shows.
      const auto draws = [&](std::size_t n) {
        std::vector<float> values(n);
        for (float& value : values) value = static_cast<float>(Draw(random, -50, 50)) / 3;
        return values;
      };
      const std::vector<float> weight = draws(ring * count);
      const std::vector<float> p_cells = draws(ring);
      const std::vector<float> q_cells = draws(ring);
      const std::vector<float> others = draws(ring);
      std::vector<std::int32_t> home;
      for (std::size_t b = 0; b < count; ++b) {
        home.push_back(Draw(random, -1, static_cast<int>(ring) - 1));
      }
      const auto p = static_cast<std::size_t>(Draw(random, 0, static_cast<int>(ring) - 2));
      const std::size_t q = p + 1;
      const float price = Draw(random, 0, 1) == 0 ? 0.0F : 0.7F;
      const SwapScan scan{ring,
                          p_cells.data(),
                          q_cells.data(),
                          weight.data(),
                          home.data(),
                          count,
                          p,
                          q,
                          count,
                          price};
      std::vector<float> barrier(count);
      std::vector<float> squares(count);
      ScanBarrier(scan, others.data(), barrier.data());
      ScanSquares(scan, squares.data());
      for (std::size_t b = 0; b < count; ++b) {
        float by_barrier = 0;
        float by_squares = 0;
        for (std::size_t t = 0; t < ring; ++t) {
          const float in_p = p_cells[t] + weight[(p + t) % ring * count + b];
          const float in_q = q_cells[t] - weight[(q + t) % ring * count + b];
          by_barrier += std::max({in_p, in_q, others[t]});
          by_squares += in_p * in_p + in_q * in_q;
        }
        const int away = (home[b] == static_cast<int>(q)) - (home[b] == static_cast<int>(p));
        by_barrier += price * static_cast<float>(away);
        by_squares += price * static_cast<float>(away);
        ASSERT_EQ(barrier[b], by_barrier);
        ASSERT_EQ(squares[b], by_squares);
      }
      ASSERT_EQ(LeastScore(barrier.data(), count),
                static_cast<std::size_t>(std::ranges::min_element(barrier) - barrier.begin()));
    }
  });
}

}  // namespace
}  // namespace dbsp::planner
