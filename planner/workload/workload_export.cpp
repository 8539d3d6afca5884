// SPDX-License-Identifier: Apache-2.0
#include <cctype>
#include <utility>

#include "core/arrays/array.h"
#include "core/cli.h"
#include "core/error.h"
#include "core/output.h"
#include "core/terminal_text.h"
#include "core/workload.h"
#include "planner/workload/mask_files.h"
#include "planner/workload/mask_source.h"
#include "planner/workload/workload_tool.h"

namespace dbsp::planner {
namespace {

/// Suffix in small letters, which names the format. Refuses one that is not written.
std::string FormatOf(const std::filesystem::path& output) {
  std::string suffix = output.extension().string();
  for (char& c : suffix) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  std::error_code absent;
  const std::filesystem::file_status status = std::filesystem::status(output, absent);
  const bool special = !absent && std::filesystem::exists(status) &&
                       !std::filesystem::is_regular_file(status) &&
                       !std::filesystem::is_directory(status);
  // Names such as /dev/stdout and /dev/fd/3, whatever lies behind them.
  const bool descriptor = output.parent_path() == "/dev" || output.parent_path() == "/dev/fd";
  if (special || descriptor || output == "-") return ".npz";
  if (suffix == ".npz" || suffix == ".npy" || suffix == ".safetensors") return suffix;
  Fail(ErrorCode::kInvalidArgument,
       "-o {}: masks are written as .npz, .npy or .safetensors; expected one of these suffixes, "
       "found '{}'",
       output.string(),
       output.extension().string());
}

LayerMasks MasksOf(const Workload& workload, const ExportFlags& flags) {
  if (flags.pass && *flags.pass >= workload.model.passes) {
    Fail(ErrorCode::kInvalidArgument,
         "--pass {}: expected less than {} passes of {}",
         *flags.pass,
         workload.model.passes,
         flags.workload.string());
  }
  if (!flags.pass && PassesDiffer(workload)) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: each pass has masks of its own; choose one with --pass",
         flags.workload.string());
  }
  return OpenMasks(workload, flags.pass)->At(flags.step, flags.layer);
}

void Write(const std::filesystem::path& output, const std::string& format, Array array) {
  if (format == ".npy") return WriteNpy(output, array);
  if (format == ".npz") return WriteNpz(output, {{"mask", std::move(array)}});
  WriteSafetensors(output, {{"mask", std::move(array)}});
}

}  // namespace

void ExportMasks(const ExportFlags& flags) {
  const Workload workload = ReadWorkload(flags.workload);
  std::vector<InputPath> inputs = MaskFilesOf(workload);
  inputs.push_back({"the workload", flags.workload});
  const OpenOutputs open = CheckOutputs({{"-o", flags.output}}, inputs);
  const std::string format = FormatOf(flags.output);
  if (flags.step >= workload.model.steps || flags.layer >= workload.model.layers) {
    Fail(ErrorCode::kInvalidArgument,
         "--step {} --layer {}: expected less than {} steps and {} layers of {}",
         flags.step,
         flags.layer,
         workload.model.steps,
         workload.model.layers,
         flags.workload.string());
  }
  const LayerMasks masks = MasksOf(workload, flags);
  Array array = MakeArray(ArrayType::kB1, {masks.heads(), masks.rows(), masks.cols()});
  std::size_t at = 0;
  for (const BlockMaskPtr& mask : masks.head) {
    for (int i = 0; i < mask->rows(); ++i) {
      for (int j = 0; j < mask->cols(); ++j) array.bytes[at++] = mask->Get(i, j) ? 1 : 0;
    }
  }
  Write(flags.output, format, std::move(array));
  const std::string summary = fmt::format("{}: mask, bool [{}, {}, {}], step {}, layer {} of {}",
                                          OutputName(flags.output),
                                          masks.heads(),
                                          masks.rows(),
                                          masks.cols(),
                                          flags.step,
                                          flags.layer,
                                          flags.workload.string());
  WriteSummary(flags.output, TerminalLine(summary) + "\n");
}

}  // namespace dbsp::planner
