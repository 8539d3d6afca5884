// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/cli/run_tool.h"

namespace {

TEST(ShimTest, FormatsAsFmtDoes) {
  const auto own = dbsp::testing::RunTool("bench_shim_formats", {});
  const auto real = dbsp::testing::RunTool("bench_fmt_formats", {});
  ASSERT_EQ(own.exit_code, 0);
  ASSERT_EQ(real.exit_code, 0);
  EXPECT_GT(real.out.size(), 500U);
  EXPECT_EQ(own.out, real.out);
}

}  // namespace
