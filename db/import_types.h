// SPDX-License-Identifier: Apache-2.0
// What an import reads and gives (db/import.h), and its formats.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/records.h"

namespace dbsp::db {

enum class ImportFormat : std::uint8_t {
  kNcclTests,  ///< text of nccl-tests
  kNcclTestsJson,  ///< its -J file
  kGoogleBenchmark,  ///< --benchmark_out_format=json
  kTorchProfiler,  ///< Chrome trace of torch.profiler
  kNsys,  ///< nsys export --type sqlite
  kCsv,
  kJsonLines,
};

struct ImportRequest {
  std::filesystem::path path;
  std::optional<ImportFormat> format;  ///< found by content and suffix if missing
  std::string op;  ///< collective of a text of nccl-tests that does not name it
  std::string device;  ///< name of the device where the file has none
};

/// Trials of one machine in a file.
struct ImportedRun {
  Provenance provenance;
  std::vector<Trial> trials;
};

struct ImportedFile {
  ImportFormat format = ImportFormat::kCsv;
  std::vector<ImportedRun> runs;  ///< at least one, each with a trial
  std::vector<std::string> notes;  ///< what was left out, as sentences
};

}  // namespace dbsp::db
