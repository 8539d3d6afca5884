// SPDX-License-Identifier: Apache-2.0
// The workload file: model shape and, for every (step, layer, head), a mask rule or a reference
// into an array file. Format: docs/formats/workload.md ("dbsp.workload/1").
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/shape.h"

namespace dbsp {

/// One mask rule with its options, as in `radial:decay=0.2`. Options are text, which the rule
/// parses. `blob` holds tables that are too large for options, such as STA windows; it is base64 in
/// the file.
struct MaskRule {
  std::string rule;  ///< "dense", "radial", "sta", "svg1", "vsa", "random", "array", ...
  /// Every option that the rule has, with defaults filled in.
  std::map<std::string, std::string> options;
  std::string blob;  ///< raw bytes, "" for most rules
  bool operator==(const MaskRule&) const = default;
};

/// The rule of a range of steps and layers. The last entry that covers a (step, layer) decides.
struct MaskAssignment {
  int rule = 0;  ///< index into Workload::rules
  int step_begin = 0;
  int step_end = 0;  ///< exclusive
  int layer_begin = 0;
  int layer_end = 0;  ///< exclusive
  bool operator==(const MaskAssignment&) const = default;
};

struct Workload {
  ModelShape model;
  BlockSize block;
  std::vector<MaskRule> rules;
  std::vector<MaskAssignment> assignments;
  std::filesystem::path directory;  ///< array references are relative to it; not part of the file

  [[nodiscard]] AttentionShape shape() const {
    return {model.heads, model.head_dim, model.tokens(), block};
  }
  /// Rule of a (step, layer). requires 0 <= step < steps, 0 <= layer < layers
  [[nodiscard]] const MaskRule& RuleAt(int step, int layer) const;
};

/// Canonical text of the file (sorted keys). Its hash identifies the workload.
[[nodiscard]] std::string WorkloadToJson(const Workload& workload);
[[nodiscard]] Workload WorkloadFromJson(std::string_view text, const std::string& origin);
/// HashBytes() of the canonical text.
[[nodiscard]] std::string HashOf(const Workload& workload);
/// errors  Error{kIo, kCorruptInput} naming file, key, expected and found
[[nodiscard]] Workload ReadWorkload(const std::filesystem::path& path);
void WriteWorkload(const Workload& workload, const std::filesystem::path& path);

}  // namespace dbsp
