// SPDX-License-Identifier: Apache-2.0
#include "core/number_flag.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dbsp {
namespace {

using ::testing::HasSubstr;

TEST(FiniteNumberTest, AcceptsNumbersOfTheRangeOnly) {
  const auto problem = FiniteNumber(0, 1000);
  for (const char* text : {"0", "0.5", "1e3", "1000", "5e-324"})
    EXPECT_EQ(problem(text), "") << text;
  for (const char* text : {"nan",
                           "NaN",
                           "-nan",
                           "inf",
                           "-inf",
                           "infinity",
                           "1e999",
                           "1e400",
                           "-1e-9",
                           "1000.1",
                           "",
                           "x",
                           "1x",
                           "0x1p3"}) {
    EXPECT_THAT(problem(text), HasSubstr(std::string("found '") + text + "'"));
  }
  EXPECT_EQ(RangeText(0, 1000), "FLOAT in [0 - 1000]");
}

}  // namespace
}  // namespace dbsp
