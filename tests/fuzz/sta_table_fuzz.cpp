// SPDX-License-Identifier: Apache-2.0
// Windows of sliding tile attention: the JSON of a mask strategy and the bytes that a workload
// stores.
#include "planner/workload/rules/sta.h"
#include "tests/fuzz/fuzz_target.h"

DBSP_FUZZ_TARGET() {
  dbsp::ModelShape model;
  model.layers = 2;
  model.heads = 2;
  model.steps = 2;
  const std::string text(bytes);
  dbsp::fuzz::ExpectResultOrError([&] { (void)dbsp::planner::StaTableFromBlob(text, model); });
  const dbsp::planner::StaTable table = dbsp::planner::ParseStaTable(text, "input", model);
  const std::string blob = dbsp::planner::StaTableToBlob(table);
  if (dbsp::planner::StaTableToBlob(dbsp::planner::StaTableFromBlob(blob, model)) != blob) {
    dbsp::fuzz::ReportFault("the stored table reads as another one");
  }
}
