// SPDX-License-Identifier: Apache-2.0
// A file of the recorder, read and joined with itself.
#include "planner/workload/recording_merge.h"
#include "tests/fuzz/fuzz_target.h"

DBSP_FUZZ_TARGET() {
  const auto path = dbsp::fuzz::InputFile(bytes, ".safetensors");
  const dbsp::planner::Recording recording = dbsp::planner::ReadRecording(path);
  (void)dbsp::planner::MergeRecordings({recording, recording},
                                       dbsp::planner::MissingCells::kRefused);
}
