// SPDX-License-Identifier: Apache-2.0
// A compressed plan file.
#include "core/plan.h"
#include "tests/fuzz/fuzz_target.h"

DBSP_FUZZ_TARGET() { (void)dbsp::ReadPlan(dbsp::fuzz::InputFile(bytes, ".json.zst")); }
