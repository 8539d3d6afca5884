// SPDX-License-Identifier: Apache-2.0
// The three commands of dbsp-workload; planner and core do the work.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace dbsp::tuner {

/// Flags of `make` as given; unset ones come from the preset, or have a default without one.
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

/// Writes the workload file and says what it holds on stdout.
/// errors  Error{kInvalidArgument} naming the flag; Error{kIo} when the file cannot be written
void MakeWorkload(const MakeFlags& flags);

/// Prints shape, rules and where they hold, density, mask bytes and FLOPs, as text or as one JSON
/// document "dbsp.workload_info/1".
enum class InfoFormat : std::uint8_t { kText, kJson };
void PrintWorkloadInfo(const std::filesystem::path& workload, InfoFormat format);

struct ExportFlags {
  std::filesystem::path workload;
  int step = 0;
  int layer = 0;
  std::filesystem::path output;
};

/// Writes the masks of one (step, layer) as bool "mask" [heads, q_blocks, k_blocks] in an .npz.
/// errors  Error{kInvalidArgument} when step or layer is out of range; Error{kIo}
void ExportMasks(const ExportFlags& flags);

}  // namespace dbsp::tuner
