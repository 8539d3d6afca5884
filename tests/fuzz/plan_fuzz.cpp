// SPDX-License-Identifier: Apache-2.0
// A plan's text, and the workload inside it.
#include "core/plan.h"
#include "core/workload.h"
#include "tests/fuzz/fuzz_target.h"

DBSP_FUZZ_TARGET() {
  const dbsp::Plan plan = dbsp::PlanFromJson(bytes, "input");
  const std::string text = dbsp::PlanToJson(plan);
  if (dbsp::PlanToJson(dbsp::PlanFromJson(text, "output")) != text) {
    dbsp::fuzz::ReportFault("the written plan reads as another one");
  }
  (void)dbsp::WorkloadFromJson(plan.workload_json, "input");
}
