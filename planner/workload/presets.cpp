// SPDX-License-Identifier: Apache-2.0
// The shapes come from the models' configuration files.
#include "planner/workload/presets.h"

#include <array>

#include "core/error.h"
#include "core/suggest.h"

namespace dbsp::planner {
namespace {

struct Preset {
  const char* name;
  int layers;
  int heads;
  int head_dim;
  Grid grid;
  std::int64_t text_tokens;
  int steps;
  int passes;
};

// Wan's text (512 tokens) is used in cross-attention and is not in the sequence. CogVideoX puts
// text before the video tokens; here text is always last, which changes no count. Mochi's text has
// at most 256 tokens, which is the number used. HunyuanVideo-1.5 has text in the sequence whose
// length depends on the prompt: 0 here, --text-tokens sets it. Double- and single-stream layers (20
// + 40, 19 + 38) attend over the same sequence and are counted together.
constexpr std::array<Preset, 13> kPresets{{
    {"wan2.1-t2v-1.3b-480p", 30, 12, 128, {21, 30, 52}, 0, 50, 2},
    {"wan2.1-t2v-14b-480p", 40, 40, 128, {21, 30, 52}, 0, 50, 2},
    {"wan2.1-t2v-14b-720p", 40, 40, 128, {21, 45, 80}, 0, 50, 2},
    {"wan2.1-t2v-14b-768p-69f", 40, 40, 128, {18, 48, 80}, 0, 50, 2},
    {"wan2.2-a14b-720p", 40, 40, 128, {21, 45, 80}, 0, 40, 2},
    {"wan2.2-ti2v-5b", 30, 24, 128, {31, 22, 40}, 0, 50, 2},
    {"hunyuanvideo-720p-129f", 60, 24, 128, {33, 45, 80}, 256, 50, 1},
    {"hunyuanvideo-768p-117f", 60, 24, 128, {30, 48, 80}, 256, 50, 1},
    {"hunyuanvideo-1.5-720p", 54, 16, 128, {31, 45, 80}, 0, 50, 2},
    {"cogvideox-5b", 42, 48, 64, {13, 30, 45}, 226, 50, 2},
    {"cogvideox1.5-5b", 42, 48, 64, {11, 48, 85}, 226, 50, 2},
    {"mochi", 48, 24, 128, {28, 30, 53}, 256, 64, 2},
    {"flux.1-dev", 57, 24, 128, {1, 48, 85}, 512, 50, 1},
}};

}  // namespace

std::vector<std::string> ModelPresets() {
  std::vector<std::string> names;
  for (const Preset& preset : kPresets) names.emplace_back(preset.name);
  return names;
}

ModelShape ModelPreset(const std::string& name) {
  for (const Preset& p : kPresets) {
    if (name == p.name) {
      return {p.name, p.layers, p.heads, p.head_dim, p.grid, p.text_tokens, p.steps, p.passes};
    }
  }
  throw Error(ErrorCode::kInvalidArgument, UnknownName("model preset", name, ModelPresets()));
}

}  // namespace dbsp::planner
