// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <vector>

#include "core/cli.h"
#include "core/error.h"
#include "core/file.h"
#include "core/output.h"
#include "core/terminal_text.h"
#include "planner/workload/census.h"
#include "planner/workload/mask_files.h"
#include "planner/workload/mask_flag.h"
#include "planner/workload/mask_source.h"
#include "planner/workload/presets.h"
#include "planner/workload/rules/rule.h"
#include "planner/workload/workload_tool.h"

namespace dbsp::planner {
namespace {

constexpr int kMaxSide = 1 << 20;

/// `count` integers from 1 to 2^20 with `separator` between them.
std::vector<int> ParseSides(const std::string& flag,
                            const std::string& text,
                            char separator,
                            std::size_t count,
                            const char* expected) {
  std::vector<int> sides;
  const char* at = text.data();
  const char* end = at + text.size();
  bool good = true;
  while (good && sides.size() < count) {
    int side = 0;
    const auto [stop, problem] = std::from_chars(at, end, side);
    good = problem == std::errc() && side >= 1 && side <= kMaxSide;
    const bool last = sides.size() + 1 == count;
    good = good && (last ? stop == end : stop != end && *stop == separator);
    sides.push_back(side);
    at = last ? stop : stop + (good ? 1 : 0);
  }
  if (!good) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: expected {}, each side from 1 to {}, found '{}'",
         flag,
         expected,
         kMaxSide,
         text);
  }
  return sides;
}

void RequireShapeFlags(const MakeFlags& flags) {
  if (flags.model) return;
  if (!flags.heads) {
    Fail(ErrorCode::kInvalidArgument, "without --model the shape needs --heads");
  }
  if (!flags.grid && !flags.tokens) {
    Fail(ErrorCode::kInvalidArgument, "without --model the shape needs --grid T,H,W or --tokens");
  }
}

/// Grid and text from --grid, --tokens and --text-tokens, which must agree.
void ApplyTokens(const MakeFlags& flags, ModelShape& model) {
  if (flags.text_tokens) model.text_tokens = *flags.text_tokens;
  if (flags.grid) {
    const std::vector<int> sides = ParseSides("--grid", *flags.grid, ',', 3, "T,H,W");
    model.grid = {sides[0], sides[1], sides[2]};
  }
  if (!flags.tokens) return;
  if (flags.grid) {
    if (model.tokens() == *flags.tokens) return;
    Fail(ErrorCode::kInvalidArgument,
         "--tokens {}: --grid {} with {} text tokens has {}; leave --tokens out",
         *flags.tokens,
         *flags.grid,
         model.text_tokens,
         model.tokens());
  }
  const std::int64_t video = *flags.tokens - model.text_tokens;
  if (video < 1) {
    Fail(ErrorCode::kInvalidArgument,
         "--tokens {}: expected more than the {} text tokens",
         *flags.tokens,
         model.text_tokens);
  }
  if (video != model.grid.tokens()) model.grid = {1, 1, static_cast<int>(video)};
}

}  // namespace

ModelShape ShapeOf(const MakeFlags& flags) {
  RequireShapeFlags(flags);
  ModelShape model;
  model.name = "custom";
  if (flags.model) model = ModelPreset(*flags.model);
  if (flags.layers) model.layers = *flags.layers;
  if (flags.heads) model.heads = *flags.heads;
  if (flags.head_dim) model.head_dim = *flags.head_dim;
  if (flags.steps) model.steps = *flags.steps;
  if (flags.passes) model.passes = *flags.passes;
  ApplyTokens(flags, model);
  return model;
}

std::string NameFor(const MakeFlags& flags, const ModelShape& model) {
  if (flags.name) return *flags.name;
  const bool changed = flags.model && !(model == ModelPreset(*flags.model));
  return model.name + (changed ? " (changed)" : "");
}

BlockSize ParseBlock(const std::string& text) {
  const std::vector<int> sides = ParseSides("--block", text, 'x', 2, "QxK");
  return {sides[0], sides[1]};
}

void MakeWorkload(const MakeFlags& flags) {
  const OpenOutputs open = CheckOutputs({{"-o", flags.output}}, MaskFilesOf(flags.mask));
  Workload workload;
  workload.model = ShapeOf(flags);
  workload.directory = flags.output.parent_path();
  if (flags.block) {
    workload.block = ParseBlock(*flags.block);
  } else {
    workload.block = DefaultBlock(flags.mask, workload.model);
  }
  const std::vector<std::string> notes = ApplyMaskFlag(flags.mask, workload);
  // Rules look the preset's name up, so the shown name is set last.
  workload.model.name = NameFor(flags, workload.model);
  FinishWorkload(workload, flags.output, notes, flags.mask);
}

std::vector<std::string> ApplyArrayRule(const std::map<std::string, std::string>& options,
                                        Workload& workload) {
  std::vector<std::string> notes;
  const MaskRuleType& type = FindRule("array");
  MaskRule rule{
      type.name(), RuleOptions(type.name(), type.Specs(workload.model), options).text(), ""};
  RuleContext context{workload.model, workload.block, workload.directory};
  context.notes = &notes;
  type.Resolve(context, rule);
  workload.rules = {std::move(rule)};
  workload.assignments = {{0, 0, workload.model.steps, 0, workload.model.layers}};
  return notes;
}

void FinishWorkload(const Workload& workload,
                    const std::filesystem::path& output,
                    const std::vector<std::string>& notes,
                    const std::string& masks) {
  const std::string text = WorkloadToJson(workload);
  static_cast<void>(WorkloadFromJson(text, output.string()));  // refuses what no tool reads
  const Census census = TakeCensus(workload);
  WriteFileAtomically(output, text);
  for (const std::string& note : notes) Progress("note: " + note);
  for (const std::string& line : CensusLines(workload, census)) Progress(line);
  const ModelShape& model = workload.model;
  const std::string summary =
      fmt::format("{}: {}, {} layers x {} steps x {} heads, {} tokens, mask {}, hash {}",
                  OutputName(output),
                  model.name,
                  model.layers,
                  model.steps,
                  model.heads,
                  model.tokens(),
                  masks,
                  HashOf(workload));
  WriteSummary(output, TerminalLine(summary) + "\n");
}

}  // namespace dbsp::planner
