// SPDX-License-Identifier: Apache-2.0
#include <cctype>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

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

using NamedArrays = std::vector<std::pair<std::string, Array>>;

void Write(const std::filesystem::path& output,
           const std::string& format,
           const NamedArrays& arrays) {
  if (format == ".npy") return WriteNpy(output, arrays.front().second);
  if (format == ".npz") return WriteNpz(output, arrays);
  WriteSafetensors(output, arrays);
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

/// 1 for critical, 0 for marginal and -1 for negligible blocks.
Array ClassArray(const LayerMasks& critical, const LayerMasks& marginal) {
  Array array = MakeArray(ArrayType::kI1, {critical.heads(), critical.rows(), critical.cols()});
  std::size_t at = 0;
  for (int h = 0; h < critical.heads(); ++h) {
    for (int i = 0; i < critical.rows(); ++i) {
      for (int j = 0; j < critical.cols(); ++j) {
        const bool exact = critical.head[h]->Get(i, j);
        array.bytes[at++] = exact ? 1 : marginal.head[h]->Get(i, j) ? 0 : -1;
      }
    }
  }
  return array;
}

/// Bits of the lists, eight keys per byte, the low bit first.
Array BitArray(const FineMasks& fine) {
  const LayerMasks& bits = fine.bits;
  const std::int64_t wide = (fine.tokens() + 7) / 8;
  Array array = MakeArray(ArrayType::kU1, {bits.heads(), bits.rows(), wide});
  char* to = array.bytes.data();
  for (const BlockMaskPtr& mask : bits.head) {
    for (int i = 0; i < mask->rows(); ++i, to += wide) {
      for (std::int64_t b = 0; b < wide; ++b) {
        to[b] = static_cast<char>(mask->row(i)[static_cast<std::size_t>(b) / 8] >> (8 * (b % 8)));
      }
    }
  }
  return array;
}

/// Offsets of the lists, which go on from head to head, and their keys.
NamedArrays ListArrays(const FineMasks& fine) {
  const LayerMasks& bits = fine.bits;
  std::int64_t total = 0;
  for (const BlockMaskPtr& mask : bits.head) total += mask->Count();
  Array offsets = MakeArray(ArrayType::kI8, {bits.heads(), std::int64_t{bits.rows()} + 1});
  Array keys = MakeArray(ArrayType::kI4, {total});
  std::int64_t before = 0;
  char* to = offsets.bytes.data();
  for (int h = 0; h < bits.heads(); ++h) {
    const FineLists lists = fine.ListsOf(h);
    for (const std::int64_t offset : lists.offsets) {
      const std::int64_t value = before + offset;
      std::memcpy(to, &value, sizeof value);
      to += sizeof value;
    }
    std::memcpy(keys.bytes.data() + before * 4, lists.keys.data(), lists.keys.size() * 4);
    before += lists.offsets.back();
  }
  return {{"offsets", std::move(offsets)}, {"keys", std::move(keys)}};
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

/// errors  Error{kInvalidArgument} if the cell has no lists of keys, or the format cannot hold them
void RequireLists(const Workload& workload,
                  const ExportFlags& flags,
                  int step,
                  int layer,
                  int queries,
                  const std::string& format) {
  if (queries == 0) {
    Fail(ErrorCode::kInvalidArgument,
         "--keys {}: step {}, layer {} of {} has block masks only, by rule '{}'; leave --keys out, "
         "or name a cell with lists of keys",
         flags.keys,
         step,
         layer,
         flags.workload.string(),
         workload.RuleAt(step, layer).rule);
  }
  if (flags.keys == "lists" && format == ".npy") {
    Fail(ErrorCode::kInvalidArgument,
         "-o {}: a .npy file holds one array, and lists are two, offsets and keys; name an .npz or "
         ".safetensors file, or give --keys bits",
         flags.output.string());
  }
}

}  // namespace

void ExportMasks(const ExportFlags& flags) {
  const Workload workload = ReadWorkload(flags.workload);
  std::vector<InputPath> inputs = MaskFilesOf(workload);
  inputs.push_back({"the workload", flags.workload});
  const OpenOutputs open = CheckOutputs({{"-o", flags.output}}, inputs);
  const std::string format = FormatOf(flags.output);
  const std::unique_ptr<MaskSource> masks = MasksOf(workload, flags);
  NamedArrays arrays;
  std::string cell = "all cells of ";
  std::string note;
  if (flags.counts) {
    arrays.emplace_back("counts", CountArray(workload.model, *masks));
  } else {
    const auto [step, layer] = CellOf(workload, flags);
    cell = fmt::format("step {}, layer {} of ", step, layer);
    const int queries = masks->FineQueriesAt(step, layer);
    if (flags.classes) {
      if (!masks->HasMarginalAt(step, layer)) {
        Fail(ErrorCode::kInvalidArgument,
             "--classes: step {}, layer {} of {} has no classes of SLA; leave --classes out",
             step,
             layer,
             flags.workload.string());
      }
      arrays.emplace_back("classes",
                          ClassArray(masks->At(step, layer), masks->MarginalAt(step, layer)));
      note = "; read it with --mask array:file=FILE,sla";
    } else if (!flags.keys.empty()) {
      RequireLists(workload, flags, step, layer, queries, format);
      const FineMasks fine = masks->FineAt(step, layer);
      if (flags.keys == "lists") {
        arrays = ListArrays(fine);
      } else {
        arrays.emplace_back("mask_bits", BitArray(fine));
      }
      note = fmt::format("; read it with --mask array:file=FILE,queries={}{}",
                         queries,
                         format == ".npy" ? ",packed=little" : "");
    } else {
      arrays.emplace_back("mask", MaskArray(masks->At(step, layer)));
      if (queries > 0) note = "; block masks of lists of keys, which --keys bits writes";
    }
  }
  std::string what;
  for (const auto& [name, array] : arrays) {
    const std::string type = array.type == ArrayType::kB1   ? "bool"
                             : array.type == ArrayType::kI8 ? "int64"
                             : array.type == ArrayType::kI4 ? "int32"
                                                            : NameOf(array.type);
    what += fmt::format(
        "{}, {} {}, ", flags.counts ? "active blocks" : name, type, ShapeText(array.shape));
  }
  what = fmt::format(
      "{}: {}{}{}{}", OutputName(flags.output), what, cell, flags.workload.string(), note);
  Write(flags.output, format, arrays);
  WriteSummary(flags.output, TerminalLine(what) + "\n");
}

}  // namespace dbsp::planner
