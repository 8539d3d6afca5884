// SPDX-License-Identifier: Apache-2.0
// dbsp-workload: makes workload files, prints their contents and exports their masks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace dbsp::planner {

/// Flags of `make`. A flag that is not given takes the preset's value, or without a preset a
/// default.
struct MakeFlags {
  std::optional<std::string> model;
  std::optional<std::string> name;
  std::optional<int> layers;
  std::optional<int> heads;
  std::optional<int> head_dim;
  std::optional<std::int64_t> tokens;  ///< text included
  std::optional<std::string> grid;  ///< T,H,W
  std::optional<std::int64_t> text_tokens;
  std::optional<int> steps;
  std::optional<int> passes;
  std::optional<std::string> block;  ///< QxK
  std::string mask = "dense";
  std::filesystem::path output;
};

/// Writes the workload file and prints a summary of it.
/// errors  Error{kInvalidArgument} with the flag; Error{kIo} when the file cannot be written
void MakeWorkload(const MakeFlags& flags);

enum class InfoFormat : std::uint8_t { kText, kJson };

/// Prints shape, rules with their steps and layers, density, mask bytes and FLOPs, as text or as
/// one JSON document "dbsp.workload_info/1". errors  Error{kIo, kCorruptInput} with the file
void PrintWorkloadInfo(const std::filesystem::path& workload, InfoFormat format);

struct ExportFlags {
  std::filesystem::path workload;
  std::optional<int> step;  ///< step and layer are needed unless `counts`
  std::optional<int> layer;
  std::optional<int> pass;  ///< needed where the passes have masks of their own
  bool counts = false;
  std::filesystem::path output;
};

/// Writes the masks of one (step, layer) as bool "mask" [heads, q_blocks, k_blocks], or the active
/// blocks of all cells as int64 "counts" [steps, layers, heads], in the format that the output's
/// suffix names: .npz, .npy (without a name) or .safetensors. An output that
/// exists and is no regular file, and "-", get an .npz.
/// errors  Error{kInvalidArgument} if step, layer, pass or suffix is wrong; Error{kIo}
void ExportMasks(const ExportFlags& flags);

/// The tool's main(): flags, run, exit code.
int WorkloadMain(int argc, const char* const* argv);

}  // namespace dbsp::planner
