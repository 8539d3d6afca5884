// SPDX-License-Identifier: Apache-2.0
// Every number and every list of real plans is replaced by hostile ones. A plan is refused as bad
// input or replayed; it never ends the process, and no error calls it a fault of dbsp.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/plan.h"
#include "core/workload.h"
#include "planner/timeline/validate.h"
#include "planner/workload/mask_source.h"
#include "replay/prediction_check.h"
#include "replay/replay.h"
#include "tests/core/expect_error.h"
#include "tests/replay/plans.h"

namespace dbsp::replay {
namespace {

using dbsp::testing::ExpectError;
using ::testing::HasSubstr;

/// What dbsp-replay does with the text of a plan.
void ReadAndReplay(const std::string& text, const CellSelection& cells) {
  const Plan plan = PlanFromJson(text, "p.json");
  planner::ValidatePlan(plan, "p.json", ErrorCode::kCorruptInput);
  const auto masks = planner::OpenMasks(WorkloadFromJson(plan.workload_json, "p.json"));
  CheckPredictions(plan, *masks, SelectCells(plan, cells), true, "p.json");
  ReplayOptions options;
  options.cells = cells;
  options.repeats = {.warmups = 0, .runs = 1};
  (void)Replay(plan, *masks, options);
}

/// "" for a plan that is replayed, the error of one that is refused. Anything else is a failure.
std::string Outcome(const Json& document, const CellSelection& cells) {
  try {
    ReadAndReplay(document.dump(), cells);
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(ExitCode(error.code()), 2) << error.what();
    return error.what();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "not an Error: " << error.what();
    return error.what();
  }
}

/// The document without the hash of its content, so that changes are not refused by it.
Json Editable(const Plan& plan) {
  Json json = Json::parse(PlanToJson(plan));
  json.erase("content_hash");
  return json;
}

std::vector<std::pair<std::string, Plan>> Samples() {
  const Workload workload = testing::SmallWorkload(1, 2);
  return {{"usp", testing::SmallPlan(workload, Family::kUsp, {2, 2})},
          {"dbsp", testing::SmallPlan(workload, Family::kDbsp, {2, 2}, "strided:2")},
          {"ulysses", testing::SmallPlan(workload, Family::kUlysses, {3, 1})},
          {"passes", testing::SmallPlan(workload, Family::kRing, {1, 2}, "given", 2)}};
}

/// Calls `visit` with the pointer of every value in `json`.
void ForEach(const Json& json,
             const Json::json_pointer& at,
             const std::function<void(const Json::json_pointer&, const Json&)>& visit) {
  visit(at, json);
  if (json.is_object()) {
    for (const auto& [key, value] : json.items()) ForEach(value, at / key, visit);
  }
  if (json.is_array()) {
    for (std::size_t i = 0; i < json.size(); ++i) ForEach(json[i], at / i, visit);
  }
}

/// Whether the value belongs to the second of two lists that are alike.
bool Alike(const Json::json_pointer& at) {
  const std::string name = at.to_string();
  return name.starts_with("/predictions/1/") || name.starts_with("/partitions/1/") ||
         name.starts_with("/strategies/1/");
}

const CellSelection kFirst = {.kind = CellSelection::Kind::kFirst, .first = 1};

TEST(HostilePlanTest, EveryNumberIsReplacedByHostileOnes) {
  const std::vector<Json> hostile = {-1,
                                     0,
                                     1,
                                     2147483647,
                                     2147483648,
                                     9223372036854775807,
                                     18446744073709551615U,
                                     1.5,
                                     1e300,
                                     nullptr,
                                     "1",
                                     Json::array()};
  for (const auto& [name, plan] : Samples()) {
    const Json whole = Editable(plan);
    ASSERT_EQ(Outcome(whole, kFirst), "") << name;
    int refused = 0;
    ForEach(whole, Json::json_pointer(), [&](const Json::json_pointer& at, const Json& value) {
      if (!value.is_number() || Alike(at)) return;
      for (const Json& number : hostile) {
        SCOPED_TRACE(fmt::format("{}: {} = {}", name, at.to_string(), number.dump()));
        Json changed = whole;
        changed[at] = number;
        refused += Outcome(changed, kFirst).empty() ? 0 : 1;
      }
    });
    EXPECT_GT(refused, 100);
  }
}

TEST(HostilePlanTest, EveryListIsEmptiedShortenedAndLengthened) {
  for (const auto& [name, plan] : Samples()) {
    const Json whole = Editable(plan);
    ForEach(whole, Json::json_pointer(), [&](const Json::json_pointer& at, const Json& value) {
      if (!value.is_array() || Alike(at)) return;
      SCOPED_TRACE(fmt::format("{}: {}", name, at.to_string()));
      Json changed = whole;
      changed[at] = Json::array();
      (void)Outcome(changed, kFirst);
      if (value.empty()) return;
      changed[at] = value;
      changed[at].erase(0);
      (void)Outcome(changed, kFirst);
      changed[at] = value;
      changed[at].push_back(value[0]);
      (void)Outcome(changed, kFirst);
      changed[at] = Json(100, value[0]);
      (void)Outcome(changed, kFirst);
    });
  }
}

TEST(HostilePlanTest, EveryNumberOfTheWorkloadInsideIsReplacedByHostileOnes) {
  const Plan plan = testing::SmallPlan(testing::SmallWorkload(1, 2), Family::kUsp, {2, 2});
  const Json whole = Editable(plan);
  const Json workload = Json::parse(plan.workload_json);
  ForEach(workload, Json::json_pointer(), [&](const Json::json_pointer& at, const Json& value) {
    if (!value.is_number()) return;
    for (const Json& number : std::vector<Json>{-1, 0, 1, 2147483647, 9223372036854775807, 1.5}) {
      SCOPED_TRACE(fmt::format("{} = {}", at.to_string(), number.dump()));
      Json hostile = workload;
      hostile[at] = number;
      Json changed = whole;
      changed["workload"]["text"] = hostile.dump();
      changed["workload"]["hash"] = HashBytes(hostile.dump());
      (void)Outcome(changed, kFirst);
    }
  });
}

TEST(HostilePlanTest, WhatDoesNotFitTheWorkloadOrItsMasksIsNamed) {
  const Json whole =
      Editable(testing::SmallPlan(testing::SmallWorkload(1, 2), Family::kUsp, {2, 2}));
  const auto expect = [&](const char* pointer, const Json& value, const std::string& words) {
    Json changed = whole;
    ASSERT_TRUE(changed.contains(Json::json_pointer(pointer))) << pointer;
    changed[Json::json_pointer(pointer)] = value;
    EXPECT_THAT(Outcome(changed, kFirst), HasSubstr(words)) << pointer;
  };
  const auto add = [&](const char* pointer, int more) {
    return whole[Json::json_pointer(pointer)].get<std::int64_t>() + more;
  };
  expect("/shape/tokens", add("/shape/tokens", 1), "key 'shape.tokens'");
  expect("/cells", {{999, 0, 0, 0, nullptr}}, "key 'cells[0]'");
  expect("/cells", {{0, 2, 0, 0, nullptr}}, "key 'cells[0]'");
  expect("/predictions/0/bytes_per_rank",
         add("/predictions/0/bytes_per_rank", 4),
         "key 'predictions[0].bytes_per_rank'");
  expect("/predictions/0/segments/0/5",
         add("/predictions/0/segments/0/5", 4),
         "key 'predictions[0].segments[0][5]'");
  expect("/predictions/0/segments/0/2", 77, "key 'predictions[0].segments[0][2]'");
  expect("/predictions/0/active_blocks/0",
         add("/predictions/0/active_blocks/0", -1),
         "key 'predictions[0].active_blocks[0]'");
  // All rows on one rank: legal, but the bytes of the prediction are of other rows.
  Json owners = Json::array();
  const int rows = whole["partitions"][0]["q_blocks"].get<int>();
  owners.push_back({0, rows});
  expect("/partitions/0/groups/0/row_owner", owners, "key 'predictions[0].");
}

}  // namespace
}  // namespace dbsp::replay
