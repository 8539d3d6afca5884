// SPDX-License-Identifier: Apache-2.0
// dbsp-workload merge: workload files of what the ranks of a run recorded.
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <utility>

#include "core/cli.h"
#include "core/error.h"
#include "core/output.h"
#include "core/suggest.h"
#include "planner/workload/mask_folder.h"
#include "planner/workload/mask_source.h"
#include "planner/workload/recording_merge.h"
#include "planner/workload/workload_tool.h"

namespace dbsp::planner {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMasks = ".masks.safetensors";

std::string SuffixOf(const fs::path& path) {
  std::string suffix = path.extension().string();
  for (char& c : suffix) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return suffix;
}

bool IsArrayFile(const fs::path& path) {
  const std::string suffix = SuffixOf(path);
  return suffix == ".safetensors" || suffix == ".pt" || suffix == ".pth" || suffix == ".npz" ||
         suffix == ".npy";
}

/// The array files of folders, and the files that are named, in the order of their names.
std::vector<fs::path> FilesOf(const std::vector<fs::path>& inputs) {
  std::vector<fs::path> files;
  for (const fs::path& input : inputs) {
    std::error_code problem;
    if (!fs::is_directory(input, problem)) {
      files.push_back(input);
      continue;
    }
    const std::size_t before = files.size();
    for (const fs::directory_entry& entry : fs::directory_iterator(input, problem)) {
      const bool merged = entry.path().filename().string().ends_with(kMasks);  // by an earlier run
      if (IsArrayFile(entry.path()) && !merged) files.push_back(entry.path());
    }
    if (problem) Fail(ErrorCode::kIo, "{}: {}", input.string(), problem.message());
    if (files.size() > before) continue;
    Fail(ErrorCode::kNotFound,
         "{}: holds no array file; expected the folder of dbsp.record.Recorder, or .pt, .npz, .npy "
         "or .safetensors files",
         input.string());
  }
  std::ranges::sort(files);
  files.erase(std::unique(files.begin(), files.end()), files.end());
  return files;
}

/// Letters of a prompt's name that a file name may have.
std::string FileWord(const std::string& prompt) {
  std::string word;
  for (const char c : prompt) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_';
    word += plain ? c : '_';
  }
  return word.empty() ? "none" : word.substr(0, 60);
}

/// Prompts of the files, with their files.
using Prompts = std::map<std::string, std::vector<fs::path>>;

Prompts PromptsOf(const std::vector<fs::path>& files) {
  Prompts prompts;
  std::optional<Recording> first;
  for (const fs::path& file : files) {
    if (SuffixOf(file) != ".safetensors" || !IsRecording(file)) {
      Fail(ErrorCode::kMismatch,
           "{}: is no recording, but others of these files are; merge one kind of files",
           file.string());
    }
    Recording recording;
    recording.path = file;
    recording.texts = SafetensorsMetadata(file);
    if (!first) first = recording;
    RequireEqualTexts(recording, *first);
    const auto prompt = recording.texts.find("prompt");
    prompts[prompt == recording.texts.end() ? "" : prompt->second].push_back(file);
  }
  return prompts;
}

Prompts Chosen(Prompts prompts, const std::optional<std::string>& prompt) {
  if (!prompt) return prompts;
  const auto found = prompts.find(*prompt);
  if (found != prompts.end()) return {*found};
  std::vector<std::string> known;
  for (const auto& [name, files] : prompts) known.push_back(name);
  throw Error(ErrorCode::kNotFound, UnknownName("prompt", *prompt, known));
}

struct Output {
  fs::path workload;
  fs::path masks;
};

/// Output of each prompt: -o itself for one, else -o with the prompt's name before the suffix.
std::map<std::string, Output> OutputsOf(const fs::path& output, const Prompts& prompts) {
  std::error_code absent;
  const fs::file_status status = fs::status(output, absent);
  if (IsStandardOutput(output) || (fs::exists(status) && !fs::is_regular_file(status))) {
    Fail(ErrorCode::kInvalidArgument,
         "-o {}: merge writes the workload and its masks beside it; expected the name of a file",
         output.string());
  }
  std::map<std::string, Output> outputs;
  std::map<fs::path, std::string> taken;
  for (const auto& [prompt, files] : prompts) {
    fs::path path = output;
    if (prompts.size() > 1) {
      path.replace_filename(output.stem().string() + "." + FileWord(prompt) +
                            output.extension().string());
    }
    fs::path masks = path;
    masks.replace_extension();
    masks += kMasks;
    outputs[prompt] = {path, masks};
    const auto [other, fresh] = taken.emplace(path, prompt);
    if (fresh) continue;
    Fail(ErrorCode::kInvalidArgument,
         "prompts '{}' and '{}' would both be written to {}; choose one with --prompt",
         other->second,
         prompt,
         path.string());
  }
  return outputs;
}

/// Requires that the outputs can be written and are no inputs.
OpenOutputs CheckFiles(const std::vector<fs::path>& files,
                       const std::map<std::string, Output>& outputs) {
  std::vector<OutputPath> written;
  for (const auto& [prompt, output] : outputs) {
    written.push_back({"-o", output.workload});
    written.push_back({"-o", output.masks});
  }
  std::vector<InputPath> read;
  for (const fs::path& file : files) read.push_back({"a file to merge", file});
  return CheckOutputs(written, read);
}

/// The workload of the masks in `masks`. errors  as MaskRuleType::Resolve
Workload WorkloadOf(const MergedMasks& merged, const Output& output, const MergeFlags& flags) {
  Workload workload;
  workload.model = merged.model;
  workload.block = merged.queries > 0 ? ParseBlock(*flags.shape.block) : merged.block;
  workload.directory = output.workload.parent_path();
  RequireBlockLimit(workload);
  std::map<std::string, std::string> options{{"file", output.masks.string()}, {"axes", "TLPHQK"}};
  if (merged.queries > 0) options["queries"] = std::to_string(merged.queries);
  if (flags.pass) options["pass"] = std::to_string(*flags.pass);
  ApplyArrayRule(options, workload);
  if (flags.shape.name) workload.model.name = *flags.shape.name;
  return workload;
}

void WriteMerged(MergedMasks merged, const Output& output, const MergeFlags& flags) {
  std::error_code unknown;
  const bool existed = fs::exists(output.masks, unknown);
  WriteSafetensors(
      output.masks,
      {{"mask_bits", std::move(merged.bits)}, {"mask_index", std::move(merged.index)}});
  try {
    const Workload workload = WorkloadOf(merged, output, flags);
    FinishWorkload(
        workload, output.workload, merged.notes, "of " + output.masks.filename().string());
  } catch (...) {
    if (!existed) fs::remove(output.masks, unknown);
    throw;
  }
}

MissingCells MissingOf(const MergeFlags& flags) {
  return flags.missing_dense ? MissingCells::kDense : MissingCells::kRefused;
}

void MergeRecorded(const std::vector<fs::path>& files, const MergeFlags& flags) {
  const MakeFlags& shape = flags.shape;
  if (shape.model || shape.layers || shape.heads || shape.head_dim || shape.tokens || shape.grid ||
      shape.text_tokens || shape.steps || shape.passes || shape.block || !flags.arrays.empty()) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: is a recording, which states its model and block; of the model's flags only --name "
         "can be given",
         files.front().string());
  }
  const Prompts all = PromptsOf(files);
  const Prompts prompts = Chosen(all, flags.prompt);
  const std::map<std::string, Output> outputs = OutputsOf(flags.output, prompts);
  const OpenOutputs open = CheckFiles(files, outputs);
  if (all.size() > 1) {
    std::vector<std::string> names;
    for (const auto& [prompt, paths] : all) names.push_back("'" + prompt + "'");
    Progress(fmt::format("note: {} prompts: {}; {}",
                         all.size(),
                         fmt::join(names, ", "),
                         flags.prompt ? "one is read" : "each has a workload of its own"));
  }
  for (const auto& [prompt, paths] : prompts) {
    std::vector<Recording> recordings;
    for (const fs::path& file : paths) recordings.push_back(ReadRecording(file));
    MergedMasks merged = MergeRecordings(recordings, MissingOf(flags));
    if (!prompt.empty()) merged.notes.push_back(fmt::format("prompt '{}'", prompt));
    recordings.clear();
    WriteMerged(std::move(merged), outputs.at(prompt), flags);
  }
}

void MergeArrays(const std::vector<fs::path>& files, const MergeFlags& flags) {
  if (flags.prompt) {
    Fail(ErrorCode::kInvalidArgument,
         "--prompt: {} is no recording, and array files state no prompt",
         files.front().string());
  }
  if (!flags.shape.block) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: is no recording; array files need --block QxK, and the model by --model or --heads "
         "and --grid",
         files.front().string());
  }
  Workload shape;
  shape.model = ShapeOf(flags.shape);
  shape.block = ParseBlock(*flags.shape.block);
  const std::map<std::string, Output> outputs = OutputsOf(flags.output, {{"", files}});
  const OpenOutputs open = CheckFiles(files, outputs);
  std::vector<std::string> notes;
  int queries = 0;
  MergedMasks merged =
      MergeRecordings(ReadMaskFolder(files, flags.arrays, shape, notes, queries), MissingOf(flags));
  merged.queries = queries;
  merged.notes.insert(merged.notes.begin(), notes.begin(), notes.end());
  merged.model = shape.model;
  merged.model.name = NameFor(flags.shape, shape.model);
  WriteMerged(std::move(merged), outputs.at(""), flags);
}

}  // namespace

void MergeWorkload(const MergeFlags& flags) {
  const std::vector<fs::path> files = FilesOf(flags.inputs);
  const bool recorded = std::ranges::any_of(files, [](const fs::path& file) {
    return SuffixOf(file) == ".safetensors" && IsRecording(file);
  });
  recorded ? MergeRecorded(files, flags) : MergeArrays(files, flags);
}

}  // namespace dbsp::planner
