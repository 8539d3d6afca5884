// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>

#include "bench/gpu_check/results.h"
#include "core/error.h"
#include "tests/cli/run_tool.h"
#include "tests/core/expect_error.h"
#include "tests/core/temporary_folder.h"

namespace dbsp::gpu_check {
namespace {

TEST(GpuCheckResultsTest, LinesAreWrittenAtOnceAndAppended) {
  const dbsp::testing::TemporaryFolder folder;
  const std::string path = (folder / "a/b").string();
  Results first(path, "speed");
  first.Write({{"n", 1}});
  EXPECT_EQ(dbsp::testing::FileText(path + "/speed.jsonl"), "{\"n\":1}\n");
  Results second(path, "speed");
  second.Write({{"n", 2}, {"text", "new\nline"}, {"error", INFINITY}});
  EXPECT_EQ(dbsp::testing::FileText(path + "/speed.jsonl"),
            "{\"n\":1}\n{\"error\":null,\"n\":2,\"text\":\"new\\nline\"}\n");
}

TEST(GpuCheckResultsTest, AFolderThatCannotBeMadeIsNamed) {
  dbsp::testing::ExpectError(ErrorCode::kIo, {"/proc/nowhere/speed.jsonl"}, [] {
    const Results results("/proc/nowhere", "speed");
  });
}

TEST(GpuCheckResultsTest, NamesInATableCannotForgeALine) {
  EXPECT_EQ(TableText({{"a\nb", "1"}}), "a\\nb  1\n");
}

TEST(GpuCheckResultsTest, ColumnsOfATableAreAligned) {
  EXPECT_EQ(TableText({{"kernel", "ms"}, {"a", "10.5"}, {"longer name", "2"}}),
            "kernel         ms\n"
            "a            10.5\n"
            "longer name     2\n");
}

}  // namespace
}  // namespace dbsp::gpu_check
