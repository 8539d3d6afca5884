// SPDX-License-Identifier: Apache-2.0
// Tables of numbers and sparsity profiles.
#include "core/arrays/csv.h"
#include "tests/fuzz/fuzz_target.h"

DBSP_FUZZ_TARGET() {
  const std::filesystem::path path = dbsp::fuzz::InputFile(bytes, ".csv");
  dbsp::fuzz::ExpectResultOrError([&] { (void)dbsp::ReadSparsityCsv(path); });
  (void)dbsp::ReadNumericCsv(path);
}
