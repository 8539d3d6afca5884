// SPDX-License-Identifier: Apache-2.0
#include "core/workload.h"

#include <algorithm>

#include "core/base64.h"
#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/workload_cells.h"

namespace dbsp {
namespace {

constexpr const char* kSchema = "dbsp.workload/1";
constexpr int kIndent = 1;
// Upper bounds. Products of sizes fit in 64 bits and block indices in an int.
constexpr std::int64_t kMaxCount = 1 << 20;
constexpr std::int64_t kMaxRules = 1 << 16;
constexpr std::size_t kMaxAssignments = 1 << 16;

int IntOf(const JsonView& view, std::int64_t low, std::int64_t high) {
  return static_cast<int>(view.Int(low, high));
}

/// Array of exactly `count` integers in [low, high].
std::vector<int> IntsOf(const JsonView& view,
                        std::size_t count,
                        std::int64_t low,
                        std::int64_t high) {
  if (view.size() != count) view.Wrong(fmt::format("an array of {} integers", count));
  std::vector<int> values;
  for (const JsonView& item : view.Items()) values.push_back(IntOf(item, low, high));
  return values;
}

ModelShape ModelFromJson(const JsonView& view, const std::string& origin) {
  view.RefuseOtherKeys(
      {"name", "layers", "heads", "head_dim", "grid", "text_tokens", "steps", "passes"});
  ModelShape model;
  model.name = view["name"].String();
  model.layers = IntOf(view["layers"], 1, kMaxCount);
  model.heads = IntOf(view["heads"], 1, kMaxCount);
  model.head_dim = IntOf(view["head_dim"], 1, kMaxCount);
  const std::vector<int> grid = IntsOf(view["grid"], 3, 1, kMaxCount);
  model.grid = {grid[0], grid[1], grid[2]};
  model.text_tokens = view["text_tokens"].Int(0, kMaxTokens);
  model.steps = IntOf(view["steps"], 1, kMaxCount);
  model.passes = IntOf(view["passes"], 1, 2);
  if (const Status size = CheckSize(model); !size.ok()) {
    Fail(ErrorCode::kCorruptInput, "{}: key 'model': {}", origin, size.message());
  }
  return model;
}

Json ModelToJson(const ModelShape& model) {
  return {{"name", model.name},
          {"layers", model.layers},
          {"heads", model.heads},
          {"head_dim", model.head_dim},
          {"grid", {model.grid.frames, model.grid.height, model.grid.width}},
          {"text_tokens", model.text_tokens},
          {"steps", model.steps},
          {"passes", model.passes}};
}

MaskRule RuleFromJson(const JsonView& view) {
  view.RefuseOtherKeys({"rule", "options", "blob"});
  MaskRule rule;
  rule.rule = view["rule"].String();
  const JsonView options = view["options"];
  if (!options.raw().is_object()) options.Wrong("an object of strings");
  for (const auto& [key, value] : options.raw().items()) {
    rule.options[key] = options[key].String();
  }
  if (view.Has("blob")) {
    const auto bytes = Base64Decode(view["blob"].String());
    if (!bytes || bytes->empty()) view["blob"].Wrong("base64 of at least one byte");
    rule.blob = *bytes;
  }
  return rule;
}

Json RuleToJson(const MaskRule& rule) {
  Json json = {{"rule", rule.rule}, {"options", Json::object()}};
  for (const auto& [key, value] : rule.options) json["options"][key] = value;
  if (!rule.blob.empty()) json["blob"] = Base64Encode(rule.blob);
  return json;
}

MaskAssignment AssignmentFromJson(const JsonView& view, const Workload& workload) {
  view.RefuseOtherKeys({"rule", "steps", "layers"});
  MaskAssignment assignment;
  assignment.rule = IntOf(view["rule"], 0, static_cast<std::int64_t>(workload.rules.size()) - 1);
  const std::vector<int> steps = IntsOf(view["steps"], 2, 0, workload.model.steps);
  const std::vector<int> layers = IntsOf(view["layers"], 2, 0, workload.model.layers);
  if (steps[0] >= steps[1]) view["steps"].Wrong("[begin, end) with begin < end");
  if (layers[0] >= layers[1]) view["layers"].Wrong("[begin, end) with begin < end");
  assignment.step_begin = steps[0];
  assignment.step_end = steps[1];
  assignment.layer_begin = layers[0];
  assignment.layer_end = layers[1];
  return assignment;
}

bool Covers(const MaskAssignment& assignment, int step, int layer) {
  return step >= assignment.step_begin && step < assignment.step_end &&
         layer >= assignment.layer_begin && layer < assignment.layer_end;
}

const MaskAssignment* FindAssignment(const Workload& workload, int step, int layer) {
  const auto& all = workload.assignments;
  const auto found = std::find_if(
      all.rbegin(), all.rend(), [&](const MaskAssignment& a) { return Covers(a, step, layer); });
  return found == all.rend() ? nullptr : &*found;
}

/// Requires a rule for every (step, layer).
void RequireCover(const Workload& workload, const JsonView& assignments) {
  const std::vector<int> rules = RuleIndices(workload.model, workload.assignments);
  const auto open = std::find(rules.begin(), rules.end(), -1);
  if (open == rules.end()) return;
  const std::int64_t cell = open - rules.begin();
  assignments.Wrong(fmt::format(
      "a rule for step {}, layer {}", cell / workload.model.layers, cell % workload.model.layers));
}

}  // namespace

const MaskRule& Workload::RuleAt(int step, int layer) const {
  DBSP_CHECK(step >= 0 && step < model.steps && layer >= 0 && layer < model.layers);
  const MaskAssignment* found = FindAssignment(*this, step, layer);
  if (found == nullptr) {
    Fail(ErrorCode::kInvalidArgument,
         "workload '{}': no mask rule for step {}, layer {}",
         model.name,
         step,
         layer);
  }
  return rules.at(found->rule);
}

std::string WorkloadToJson(const Workload& workload) {
  Json json = {{"schema", kSchema},
               {"model", ModelToJson(workload.model)},
               {"block", {workload.block.q, workload.block.k}},
               {"rules", Json::array()},
               {"assignments", Json::array()}};
  for (const MaskRule& rule : workload.rules) json["rules"].push_back(RuleToJson(rule));
  for (const MaskAssignment& a : workload.assignments) {
    json["assignments"].push_back({{"rule", a.rule},
                                   {"steps", {a.step_begin, a.step_end}},
                                   {"layers", {a.layer_begin, a.layer_end}}});
  }
  return DumpJson(json, kIndent) + "\n";
}

Workload WorkloadFromJson(std::string_view text, const std::string& origin) {
  const Json json = ParseJson(text, origin);
  const JsonView view(json, origin);
  view.RequireSchema(kSchema);
  view.RefuseOtherKeys({"schema", "model", "block", "rules", "assignments"});
  Workload workload;
  workload.model = ModelFromJson(view["model"], origin);
  const std::vector<int> block = IntsOf(view["block"], 2, 1, kMaxCount);
  workload.block = {block[0], block[1]};
  const JsonView rules = view["rules"];
  if (rules.size() == 0 || rules.size() > static_cast<std::size_t>(kMaxRules)) {
    rules.Wrong(fmt::format("1 to {} mask rules", kMaxRules));
  }
  for (const JsonView& rule : rules.Items()) workload.rules.push_back(RuleFromJson(rule));
  const JsonView assignments = view["assignments"];
  if (assignments.size() > kMaxAssignments) {
    assignments.Wrong(fmt::format("at most {} assignments", kMaxAssignments));
  }
  for (const JsonView& item : assignments.Items()) {
    workload.assignments.push_back(AssignmentFromJson(item, workload));
  }
  RequireCover(workload, assignments);
  return workload;
}

std::string HashOf(const Workload& workload) { return HashBytes(WorkloadToJson(workload)); }

Workload ReadWorkload(const std::filesystem::path& path) {
  Workload workload = WorkloadFromJson(ReadFile(path, kMaxTextBytes), path.string());
  workload.directory = BaseFolderOf(path);
  return workload;
}

void WriteWorkload(const Workload& workload, const std::filesystem::path& path) {
  WriteFileAtomically(path, WorkloadToJson(workload));
}

}  // namespace dbsp
