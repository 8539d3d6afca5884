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
#include "planner/workload/mask_source.h"
#include "planner/workload/recording_merge.h"
#include "planner/workload/rules/rule.h"
#include "planner/workload/workload_tool.h"

namespace dbsp::planner {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMasks = ".masks.safetensors";

bool IsSafetensors(const fs::path& path) {
  std::string suffix = path.extension().string();
  for (char& c : suffix) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return suffix == ".safetensors";
}

/// The .safetensors files of folders, and the files that are named, in the order of their names.
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
      if (IsSafetensors(entry.path())) files.push_back(entry.path());
    }
    if (problem) Fail(ErrorCode::kIo, "{}: {}", input.string(), problem.message());
    if (files.size() > before) continue;
    Fail(ErrorCode::kNotFound,
         "{}: holds no .safetensors file; expected the folder of dbsp.record.Recorder",
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
    if (!IsSafetensors(file)) {
      Fail(ErrorCode::kInvalidArgument,
           "{}: expected a .safetensors file of dbsp.record.Recorder, or a folder of them",
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

/// The workload of the masks in `masks`. errors  as MaskRuleType::Resolve
Workload WorkloadOf(const MergedMasks& merged, const Output& output, const MergeFlags& flags) {
  Workload workload;
  workload.model = merged.model;
  workload.block = merged.block;
  workload.directory = output.workload.parent_path();
  RequireBlockLimit(workload);
  const MaskRuleType& type = FindRule("array");
  std::map<std::string, std::string> options{{"file", output.masks.string()}, {"axes", "TLPHQK"}};
  if (flags.pass) options["pass"] = std::to_string(*flags.pass);
  MaskRule rule{
      type.name(), RuleOptions(type.name(), type.Specs(workload.model), options).text(), ""};
  type.Resolve({workload.model, workload.block, workload.directory}, rule);
  workload.rules = {std::move(rule)};
  workload.assignments = {{0, 0, workload.model.steps, 0, workload.model.layers}};
  if (flags.name) workload.model.name = *flags.name;
  return workload;
}

void MergePrompt(const std::vector<fs::path>& files,
                 const std::string& prompt,
                 const Output& output,
                 const MergeFlags& flags) {
  std::vector<Recording> recordings;
  for (const fs::path& file : files) recordings.push_back(ReadRecording(file));
  MergedMasks merged = MergeRecordings(
      recordings, flags.missing_dense ? MissingCells::kDense : MissingCells::kRefused);
  recordings.clear();
  if (!prompt.empty()) merged.notes.push_back(fmt::format("prompt '{}'", prompt));
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

}  // namespace

void MergeWorkload(const MergeFlags& flags) {
  const std::vector<fs::path> files = FilesOf(flags.inputs);
  const Prompts all = PromptsOf(files);
  const Prompts prompts = Chosen(all, flags.prompt);
  const std::map<std::string, Output> outputs = OutputsOf(flags.output, prompts);
  std::vector<OutputPath> written;
  for (const auto& [prompt, output] : outputs) {
    written.push_back({"-o", output.workload});
    written.push_back({"-o", output.masks});
  }
  std::vector<InputPath> read;
  for (const fs::path& file : files) read.push_back({"a recording", file});
  const OpenOutputs open = CheckOutputs(written, read);
  if (all.size() > 1) {
    std::vector<std::string> names;
    for (const auto& [prompt, paths] : all) names.push_back("'" + prompt + "'");
    Progress(fmt::format("note: {} prompts: {}; {}",
                         all.size(),
                         fmt::join(names, ", "),
                         flags.prompt ? "one is read" : "each has a workload of its own"));
  }
  for (const auto& [prompt, paths] : prompts) {
    MergePrompt(paths, prompt, outputs.at(prompt), flags);
  }
}

}  // namespace dbsp::planner
