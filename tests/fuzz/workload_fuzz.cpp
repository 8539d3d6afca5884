// SPDX-License-Identifier: Apache-2.0
// A workload file, and the masks of its first and last cell where the model is small.
#include "core/workload.h"
#include "planner/workload/mask_source.h"
#include "tests/fuzz/fuzz_target.h"

DBSP_FUZZ_TARGET() {
  dbsp::Workload workload = dbsp::WorkloadFromJson(bytes, "input");
  if (dbsp::WorkloadToJson(dbsp::WorkloadFromJson(dbsp::WorkloadToJson(workload), "output")) !=
      dbsp::WorkloadToJson(workload)) {
    dbsp::fuzz::ReportFault("the written workload reads as another one");
  }
  const dbsp::AttentionShape shape = workload.shape();
  if (shape.tokens > 1 << 16 || shape.q_blocks() > 256 || shape.k_blocks() > 256) return;
  if (shape.heads > 16 || workload.model.steps > 64 || workload.model.layers > 64) return;
  const auto masks = dbsp::planner::OpenMasks(workload, 0);
  for (const bool last : {false, true}) {
    const int step = last ? workload.model.steps - 1 : 0;
    const int layer = last ? workload.model.layers - 1 : 0;
    if (masks->At(step, layer).head.size() != masks->ActiveBlocksAt(step, layer).size()) {
      dbsp::fuzz::ReportFault("masks and counts are of different numbers of heads");
    }
  }
}
