// SPDX-License-Identifier: Apache-2.0
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

void ExportMasks(const ExportFlags& flags) {
  const Workload workload = ReadWorkload(flags.workload);
  std::vector<InputPath> inputs = MaskFilesOf(workload);
  inputs.push_back({"the workload", flags.workload});
  const OpenOutputs open = CheckOutputs({{"-o", flags.output}}, inputs);
  if (flags.step >= workload.model.steps || flags.layer >= workload.model.layers) {
    Fail(ErrorCode::kInvalidArgument,
         "--step {} --layer {}: expected less than {} steps and {} layers of {}",
         flags.step,
         flags.layer,
         workload.model.steps,
         workload.model.layers,
         flags.workload.string());
  }
  const LayerMasks masks = OpenMasks(workload)->At(flags.step, flags.layer);
  Array array = MakeArray(ArrayType::kB1, {masks.heads(), masks.rows(), masks.cols()});
  std::size_t at = 0;
  for (const BlockMaskPtr& mask : masks.head) {
    for (int i = 0; i < mask->rows(); ++i) {
      for (int j = 0; j < mask->cols(); ++j) array.bytes[at++] = mask->Get(i, j) ? 1 : 0;
    }
  }
  WriteNpz(flags.output, {{"mask", std::move(array)}});
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
