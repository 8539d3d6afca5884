// SPDX-License-Identifier: Apache-2.0
// Measured data of tests/data, and the same in the form that its publishers store it.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "core/arrays/array.h"
#include "test_paths.h"

namespace dbsp::testing {

/// A file of tests/data.
inline std::filesystem::path MeasuredFile(const std::string& name) {
  return std::filesystem::path(DBSP_SOURCE_DIR) / "tests" / "data" / name;
}

/// Writes the SVOO profile `name` ("wan_14B_t2v") as the CSV file that SparseVideo has.
/// returns  the file's path, in `folder`
inline std::filesystem::path WriteSvooCsv(const std::string& name,
                                          const std::filesystem::path& folder) {
  const Array counts = LoadArray(MeasuredFile("svoo/" + name + ".npy"));
  const std::filesystem::path path = folder / ("sparsity_" + name + ".csv");
  std::ofstream csv(path);
  csv << "Step,Layer,Head,Sparsity\n";
  std::int64_t at = 0;
  for (std::int64_t step = 1; step <= counts.shape[0]; ++step) {
    for (std::int64_t layer = 0; layer < counts.shape[1]; ++layer) {
      for (std::int64_t head = 0; head < counts.shape[2]; ++head) {
        const double fraction = static_cast<double>(counts.Int(at++)) / 10000;
        csv << step << ',' << layer << ',' << head << ',' << fraction << '\n';
      }
    }
  }
  return path;
}

/// Writes the windows of Sliding Tile Attention `name` ("wan", "hunyuan") as the JSON file that
/// FastVideo has.
/// returns  the file's path, in `folder`
inline std::filesystem::path WriteStaJson(const std::string& name,
                                          const std::filesystem::path& folder) {
  const Array windows = LoadArray(MeasuredFile("sta/windows_" + name + ".npy"));
  const std::filesystem::path path = folder / ("mask_strategy_" + name + ".json");
  std::ofstream json(path);
  char separator = '{';
  std::int64_t at = 0;
  for (std::int64_t step = 0; step < windows.shape[0]; ++step) {
    for (std::int64_t layer = 0; layer < windows.shape[1]; ++layer) {
      for (std::int64_t head = 0; head < windows.shape[2]; ++head) {
        json << separator << '"' << step << '_' << layer << '_' << head << "\":[" << windows.Int(at)
             << ',' << windows.Int(at + 1) << ',' << windows.Int(at + 2) << ']';
        separator = ',';
        at += 3;
      }
    }
  }
  json << "}\n";
  return path;
}

}  // namespace dbsp::testing
