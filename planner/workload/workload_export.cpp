// SPDX-License-Identifier: Apache-2.0
#include <cctype>
#include <cstring>
#include <memory>
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

std::unique_ptr<MaskSource> MasksOf(const Workload& workload, const ExportFlags& flags) {
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
  return OpenMasks(workload, flags.pass);
}

void Write(const std::filesystem::path& output,
           const std::string& format,
           const std::string& name,
           Array array) {
  if (format == ".npy") return WriteNpy(output, array);
  if (format == ".npz") return WriteNpz(output, {{name, std::move(array)}});
  WriteSafetensors(output, {{name, std::move(array)}});
}

/// Step and layer of the cell whose masks are written.
std::pair<int, int> CellOf(const Workload& workload, const ExportFlags& flags) {
  if (!flags.step || !flags.layer) {
    Fail(ErrorCode::kInvalidArgument,
         "{} is missing: export writes the masks of one cell; name its --step and --layer, or give "
         "--counts",
         flags.step ? "--layer" : "--step");
  }
  if (*flags.step >= workload.model.steps || *flags.layer >= workload.model.layers) {
    Fail(ErrorCode::kInvalidArgument,
         "--step {} --layer {}: expected less than {} steps and {} layers of {}",
         *flags.step,
         *flags.layer,
         workload.model.steps,
         workload.model.layers,
         flags.workload.string());
  }
  return {*flags.step, *flags.layer};
}

Array MaskArray(const LayerMasks& masks) {
  Array array = MakeArray(ArrayType::kB1, {masks.heads(), masks.rows(), masks.cols()});
  std::size_t at = 0;
  for (const BlockMaskPtr& mask : masks.head) {
    for (int i = 0; i < mask->rows(); ++i) {
      for (int j = 0; j < mask->cols(); ++j) array.bytes[at++] = mask->Get(i, j) ? 1 : 0;
    }
  }
  return array;
}

Array CountArray(const ModelShape& model, MaskSource& masks) {
  Array array = MakeArray(ArrayType::kI8, {model.steps, model.layers, model.heads});
  std::size_t at = 0;
  for (int step = 0; step < model.steps; ++step) {
    for (int layer = 0; layer < model.layers; ++layer) {
      for (const std::int64_t count : masks.ActiveBlocksAt(step, layer)) {
        std::memcpy(array.bytes.data() + at, &count, sizeof count);
        at += sizeof count;
      }
    }
  }
  return array;
}

}  // namespace

void ExportMasks(const ExportFlags& flags) {
  const Workload workload = ReadWorkload(flags.workload);
  std::vector<InputPath> inputs = MaskFilesOf(workload);
  inputs.push_back({"the workload", flags.workload});
  const OpenOutputs open = CheckOutputs({{"-o", flags.output}}, inputs);
  const std::string format = FormatOf(flags.output);
  const std::unique_ptr<MaskSource> masks = MasksOf(workload, flags);
  std::string cell = "all cells of ";
  Array array;
  if (flags.counts) {
    array = CountArray(workload.model, *masks);
  } else {
    const auto [step, layer] = CellOf(workload, flags);
    array = MaskArray(masks->At(step, layer));
    cell = fmt::format("step {}, layer {} of ", step, layer);
  }
  const std::string what = fmt::format("{}: {} {}, {}{}",
                                       OutputName(flags.output),
                                       flags.counts ? "active blocks, int64" : "mask, bool",
                                       ShapeText(array.shape),
                                       cell,
                                       flags.workload.string());
  Write(flags.output, format, flags.counts ? "counts" : "mask", std::move(array));
  WriteSummary(flags.output, TerminalLine(what) + "\n");
}

}  // namespace dbsp::planner
