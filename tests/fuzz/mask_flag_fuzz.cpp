// SPDX-License-Identifier: Apache-2.0
// The text of --mask, and the masks of the first cell. Files that a text names do not exist, but
// for those of /dev and the like.
#include "planner/workload/mask_flag.h"
#include "planner/workload/mask_source.h"
#include "tests/fuzz/fuzz_target.h"

DBSP_FUZZ_TARGET() {
  dbsp::Workload workload;
  workload.model.layers = 2;
  workload.model.heads = 2;
  workload.model.head_dim = 64;
  workload.model.grid = {4, 8, 16};
  workload.model.text_tokens = 16;
  workload.model.steps = 4;
  workload.model.passes = 2;
  workload.block = {64, 64};
  (void)dbsp::planner::ApplyMaskFlag(std::string(bytes), workload);
  const auto masks = dbsp::planner::OpenMasks(workload, 0);
  if (masks->At(0, 0).head.size() != masks->ActiveBlocksAt(0, 0).size()) {
    dbsp::fuzz::ReportFault("masks and counts are of different numbers of heads");
  }
}
