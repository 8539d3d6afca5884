// SPDX-License-Identifier: Apache-2.0
// Reading times that other programs measured, for `dbsp-db import`. docs/formats/import.md says
// what each format becomes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "db/import_types.h"

namespace dbsp::db {

/// Names as in --format: "nccl-tests", "nccl-tests-json", "google-benchmark", "torch-profiler",
/// "nsys", "csv", "jsonl".
[[nodiscard]] const char* NameOf(ImportFormat format);
/// errors  Error{kInvalidArgument} naming the nearest known name
[[nodiscard]] ImportFormat ParseImportFormat(std::string_view name);
[[nodiscard]] std::vector<std::string> ImportFormatNames();

/// Name of the provenance fact that holds the hash of the imported file.
inline constexpr const char* kImportHash = "import_hash";

/// errors  Error{kCorruptInput} naming file, line or row, and field; Error{kInvalidArgument} for a
///         file of no known format, one without a time, and flags that it needs; those of
///         ReadFile()
[[nodiscard]] ImportedFile ReadImport(const ImportRequest& request);

}  // namespace dbsp::db
