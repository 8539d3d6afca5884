// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "bench/gpu_check/results.h"
#include "core/arrays/array.h"
#include "core/error.h"
#include "tests/cli/run_tool.h"
#include "tests/core/expect_error.h"
#include "tests/core/temporary_folder.h"

namespace dbsp::gpu_check {
namespace {

TEST(GpuCheckResultsTest, ALineIsJson) {
  JsonLine line;
  line.Add("text", "a \"quoted\" \\ and\nnew line")
      .Add("third", 1.0 / 3)
      .Add("count", std::int64_t{1} << 40)
      .Add("yes", true)
      .Add("nothing", std::nan(""))
      .Add("list", std::vector<double>{1, 2.5, INFINITY});
  const auto json = nlohmann::json::parse(line.text());
  EXPECT_EQ(json["text"], "a \"quoted\" \\ and\nnew line");
  EXPECT_EQ(json["third"].get<double>(), 1.0 / 3);
  EXPECT_EQ(json["count"].get<std::int64_t>(), std::int64_t{1} << 40);
  EXPECT_EQ(json["yes"], true);
  EXPECT_TRUE(json["nothing"].is_null());
  EXPECT_EQ(json["list"].size(), 3U);
  EXPECT_TRUE(json["list"][2].is_null());
}

TEST(GpuCheckResultsTest, LinesAreOnDiskAsTheyComeAndKeptByTheNextRun) {
  const dbsp::testing::TemporaryFolder folder;
  const std::string path = (folder / "a/b").string();
  Results first(path, "speed");
  first.Write(JsonLine().Add("n", 1));
  EXPECT_EQ(dbsp::testing::FileText(path + "/speed.jsonl"), "{\"n\": 1}\n");
  Results second(path, "speed");
  second.Write(JsonLine().Add("n", 2));
  EXPECT_EQ(dbsp::testing::FileText(path + "/speed.jsonl"), "{\"n\": 1}\n{\"n\": 2}\n");
}

TEST(GpuCheckResultsTest, AFolderThatCannotBeMadeIsNamed) {
  dbsp::testing::ExpectError(ErrorCode::kIo, {"/proc/nowhere/speed.jsonl"}, [] {
    const Results results("/proc/nowhere", "speed");
  });
}

TEST(GpuCheckResultsTest, MasksAreReadByTheArrayReader) {
  const dbsp::testing::TemporaryFolder folder;
  const std::string path = (folder / "mask.npy").string();
  const std::vector<std::uint8_t> values{1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1};
  WriteMask(path, {2, 2, 3}, values);
  const Array array = LoadArray(path);
  EXPECT_EQ(array.type, ArrayType::kU1);
  EXPECT_EQ(array.shape, (std::vector<std::int64_t>{2, 2, 3}));
  for (std::size_t i = 0; i < values.size(); ++i) EXPECT_EQ(array.Int(i), values[i]);
}

TEST(GpuCheckResultsTest, TablesLineUp) {
  EXPECT_EQ(TableText({{"kernel", "ms"}, {"a", "10.5"}, {"longer name", "2"}}),
            "kernel         ms\n"
            "a            10.5\n"
            "longer name     2\n");
}

}  // namespace
}  // namespace dbsp::gpu_check
