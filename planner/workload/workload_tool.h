// SPDX-License-Identifier: Apache-2.0
// dbsp-workload: makes and merges workload files, prints their contents and exports their masks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/workload.h"

namespace CLI {
class App;
}

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

/// The model of the flags.
/// errors  Error{kInvalidArgument} with the flag
[[nodiscard]] ModelShape ShapeOf(const MakeFlags& flags);
/// The shown name: --name, else the preset's name, with a mark if the shape was changed.
[[nodiscard]] std::string NameFor(const MakeFlags& flags, const ModelShape& model);
/// Value of --block.
/// errors  Error{kInvalidArgument} with the flag
[[nodiscard]] BlockSize ParseBlock(const std::string& text);

/// Writes the workload file and prints a summary of it.
/// errors  Error{kInvalidArgument} with the flag; Error{kIo} when the file cannot be written
void MakeWorkload(const MakeFlags& flags);

/// Writes `workload` and prints notes, its census and a summary. `masks` says where they are from.
/// errors  Error{kCorruptInput} for a workload that no tool reads; Error{kIo}
void FinishWorkload(const Workload& workload,
                    const std::filesystem::path& output,
                    const std::vector<std::string>& notes,
                    const std::string& masks);

struct MergeFlags {
  std::vector<std::filesystem::path> inputs;  ///< recordings or array files, or folders of them
  std::optional<std::string> prompt;
  MakeFlags shape;  ///< name; for array files also the model and the block
  std::string arrays;  ///< options of the rule `array` for array files
  std::optional<int> pass;  ///< the guidance pass whose masks hold for all passes
  bool missing_dense = false;  ///< (step, layer) without any mask are dense
  std::filesystem::path output;
};

/// Writes, for each prompt, a workload of what the ranks recorded, and its masks beside it.
/// errors  Error{kInvalidArgument, kNotFound} with the flag; Error{kCorruptInput, kMismatch} with
///         file and place; Error{kIo}
void MergeWorkload(const MergeFlags& flags);

enum class InfoFormat : std::uint8_t { kText, kJson };

/// Prints shape, rules with their steps and layers, density, mask bytes and FLOPs, as text or as
/// one JSON document "dbsp.workload_info/1".
/// errors  Error{kIo, kCorruptInput} with the file
void PrintWorkloadInfo(const std::filesystem::path& workload, InfoFormat format);

struct ExportFlags {
  std::filesystem::path workload;
  std::optional<int> step;  ///< step and layer are needed unless `counts`
  std::optional<int> layer;
  std::optional<int> pass;  ///< needed where the passes have masks of their own
  bool counts = false;
  bool classes = false;  ///< the classes of SLA instead of the block masks
  std::string keys;  ///< "bits" or "lists": the lists of single keys instead of the block masks
  std::filesystem::path output;
};

/// Writes the masks of one (step, layer) as bool "mask" [heads, q_blocks, k_blocks]; or its lists
/// of keys as u1 "mask_bits" [heads, lists, ceil(tokens / 8)] or as int64 "offsets" [heads, lists +
/// 1] and int32 "keys"; or the active
/// blocks of all cells as int64 "counts" [steps, layers, heads], in the format that the output's
/// suffix names: .npz, .npy (without a name) or .safetensors. An output that
/// exists and is no regular file, and "-", get an .npz.
/// errors  Error{kInvalidArgument} if step, layer, pass or suffix is wrong; Error{kIo}
void ExportMasks(const ExportFlags& flags);

/// Prints every model preset and every mask rule with its options, one line each.
void PrintWorkloadList();

/// Adds the flags of the model's shape to a command.
void AddModelFlags(CLI::App& command, MakeFlags& flags);

/// Sets the mask rule of all cells to `array` with these options. Returns what was assumed, as
/// sentences.
/// errors  as ApplyMaskFlag
std::vector<std::string> ApplyArrayRule(const std::map<std::string, std::string>& options,
                                        Workload& workload);

/// A command of dbsp-workload from a module above this one.
struct WorkloadCommand {
  std::function<CLI::App*(CLI::App& app)> add;
  std::function<void()> run;
};

/// The tool's main(): flags, run, exit code.
int WorkloadMain(int argc, const char* const* argv, const std::vector<WorkloadCommand>& more);

}  // namespace dbsp::planner
