// SPDX-License-Identifier: Apache-2.0
// Every number of a plan is replaced by hostile ones. The plan is refused as bad input or reported.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/json.h"
#include "core/plan.h"
#include "reports/document.h"
#include "tests/reports/fixture.h"

namespace dbsp::reports {
namespace {

void ForEachNumber(const Json& json,
                   const Json::json_pointer& at,
                   const std::function<void(const Json::json_pointer&)>& visit) {
  if (json.is_number()) visit(at);
  if (json.is_object()) {
    for (const auto& [key, value] : json.items()) ForEachNumber(value, at / key, visit);
  }
  if (json.is_array()) {
    for (std::size_t i = 0; i < json.size(); ++i) ForEachNumber(json[i], at / i, visit);
  }
}

TEST(HostilePlanTest, EveryNumberIsReplacedByHostileOnes) {
  ReportInputs inputs = FixtureInputs();
  Json whole = Json::parse(PlanToJson(inputs.plans.at(0).plan));
  whole.erase("content_hash");
  int refused = 0;
  ForEachNumber(whole, Json::json_pointer(), [&](const Json::json_pointer& at) {
    const std::string name = at.to_string();
    // All predictions are alike.
    if (name.starts_with("/predictions/") && !name.starts_with("/predictions/0/")) return;
    for (const Json& number : std::vector<Json>{
             -1, 0, 2147483647, 2147483648, std::int64_t{1} << 52, 9223372036854775807, 1e300}) {
      SCOPED_TRACE(fmt::format("{} = {}", name, number.dump()));
      Json changed = whole;
      changed[at] = number;
      try {
        inputs.plans[0].plan = PlanFromJson(changed.dump(), "p.json");
        EXPECT_FALSE(Json::parse(ReportDocument(inputs)).empty());
      } catch (const Error& error) {
        EXPECT_EQ(ExitCode(error.code()), 2) << error.what();
        ++refused;
      } catch (const std::exception& error) {
        ADD_FAILURE() << "not an Error: " << error.what();
      }
    }
  });
  EXPECT_GT(refused, 100);
}

TEST(HostilePlanTest, ACellOutsideTheWorkloadIsRefused) {
  Json plan = Json::parse(PlanToJson(FixtureInputs().plans.at(0).plan));
  plan.erase("content_hash");
  plan["cells"].back()[0] = 999;
  try {
    (void)PlanFromJson(plan.dump(), "p.json");
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorruptInput);
    EXPECT_NE(std::string(error.what()).find("p.json: key 'cells["), std::string::npos);
  }
}

TEST(HostilePlanTest, ADeepCompareFileIsRefused) {
  ReportInputs inputs = FixtureInputs();
  for (const std::string& bomb :
       {std::string(100'000, '['), "{\"candidates\":" + std::string(100'000, '[')}) {
    inputs.compares = {{"c.json", bomb}};
    try {
      (void)ReportDocument(inputs);
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorruptInput);
      EXPECT_NE(std::string(error.what()).find("c.json: line 1, column "), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace dbsp::reports
