// SPDX-License-Identifier: Apache-2.0
// Runs a test with every instruction set that this machine has.
#pragma once

#include <gtest/gtest.h>
#include <hwy/highway.h>

namespace dbsp::planner {

template <typename Body>
void ForEachTarget(const Body& body) {
  int count = 0;
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    body();
    ++count;
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  EXPECT_GE(count, 1);
}

}  // namespace dbsp::planner
