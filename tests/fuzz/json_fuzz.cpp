// SPDX-License-Identifier: Apache-2.0
// Any JSON text: what was read is written and read again to the same value.
#include "core/json.h"
#include "tests/fuzz/fuzz_target.h"

DBSP_FUZZ_TARGET() {
  const dbsp::Json value = dbsp::ParseJson(bytes, "input");
  if (dbsp::ParseJson(dbsp::DumpJson(value), "output") != value) {
    dbsp::fuzz::ReportFault("the written text reads as another value");
  }
}
