// SPDX-License-Identifier: Apache-2.0
// Tables with a heading: every record, the first column as integers, the last one as numbers.
#include "core/arrays/csv.h"
#include "tests/fuzz/fuzz_target.h"

DBSP_FUZZ_TARGET() {
  dbsp::CsvReader reader(bytes, "input");
  const std::size_t last = reader.columns().size() - 1;
  while (reader.Next()) {
    dbsp::fuzz::ExpectResultOrError([&] { (void)reader.Int(0, -1000, 1000); });
    dbsp::fuzz::ExpectResultOrError([&] { (void)reader.Number(last, 0, 1); });
  }
}
