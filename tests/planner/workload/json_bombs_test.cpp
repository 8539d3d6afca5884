// SPDX-License-Identifier: Apache-2.0
// JSON that is nested 100,000 deep, or has numbers that no type holds, in the tables of mask rules.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "core/error.h"
#include "core/file.h"
#include "core/workload.h"
#include "planner/workload/mask_flag.h"
#include "tests/core/expect_error.h"
#include "tests/core/temporary_folder.h"

namespace dbsp::planner {
namespace {

using dbsp::testing::ExpectError;
using dbsp::testing::TemporaryFolder;

void ReadTable(const std::string& rule, const std::string& name, const std::string& text) {
  const TemporaryFolder folder;
  WriteFileAtomically(folder / name, text);
  Workload workload;
  workload.model.layers = workload.model.steps = 2;
  workload.model.heads = 2;
  workload.model.grid = {4, 8, 8};
  workload.block = {64, 64};
  ApplyMaskFlag(rule + ":file=" + (folder / name).string(), workload);
}

TEST(JsonBombsTest, DeepNestingInATableIsRefused) {
  const std::string deep(100'000, '[');
  for (const std::string& bomb : {deep, "{\"timestep\":" + deep, "{\"0\":" + deep}) {
    ExpectError(ErrorCode::kCorruptInput, {"log.jsonl", "nested more than 64 deep"}, [&] {
      ReadTable("density", "log.jsonl", bomb);
    });
    ExpectError(ErrorCode::kCorruptInput, {"s.json", "nested more than 64 deep"}, [&] {
      ReadTable("sta", "s.json", bomb);
    });
  }
}

TEST(JsonBombsTest, NumbersOutOfRangeInATableAreRefused) {
  const std::string line = R"({"timestep":1e400,"layer":0,"density":[[0.5,0.5]]})";
  ExpectError(ErrorCode::kCorruptInput, {"log.jsonl", "key 'timestep'", "out of range"}, [&] {
    ReadTable("density", "log.jsonl", line);
  });
  ExpectError(ErrorCode::kCorruptInput, {"s.json", "key '0_0_0[0]'", "out of range"}, [&] {
    ReadTable("sta", "s.json", R"({"0_0_0":[1e400,1,1]})");
  });
}

}  // namespace
}  // namespace dbsp::planner
