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
  int feed_forward;  ///< inner width, of two matrices; 0 when it is not known
  int cross_text;  ///< tokens that the cross-attention reads
  const char* note;  ///< for `dbsp-workload list`
};

// Wan's text (512 tokens) is used in cross-attention and is not in the sequence. CogVideoX puts
// text before the video tokens; here text is always last, which changes no count. Mochi's text has
// at most 256 tokens, which is the number used. HunyuanVideo-1.5 has text in the sequence whose
// length depends on the prompt: 0 here, --text-tokens sets it. Double- and single-stream layers (20
// + 40, 19 + 38) attend over the same sequence and are counted together. MiniMax-H3: 17 k + 5
// frames are 5 k + 2 latent ones, a token is 32 x 32 pixels, and 15 s of stereo audio are 1,206
// tokens (musubi-tuner issue 106, web-xpu-ops issue 200); its guidance is distilled into one pass,
// and the prompt's tokens are --text-tokens beyond 1,206. The width of its feed-forward network is
// not known here (0).
constexpr std::array<Preset, 14> kPresets{{
    {"wan2.1-t2v-1.3b-480p",
     30,
     12,
     128,
     {21, 30, 52},
     0,
     50,
     2,
     8960,
     512,
     "Wan2.1 T2V 1.3B, 480 x 832, 81 frames"},
    {"wan2.1-t2v-14b-480p",
     40,
     40,
     128,
     {21, 30, 52},
     0,
     50,
     2,
     13824,
     512,
     "Wan2.1 T2V 14B, 480 x 832, 81 frames"},
    {"wan2.1-t2v-14b-720p",
     40,
     40,
     128,
     {21, 45, 80},
     0,
     50,
     2,
     13824,
     512,
     "Wan2.1 T2V 14B, 720 x 1280, 81 frames"},
    {"wan2.1-t2v-14b-768p-69f",
     40,
     40,
     128,
     {18, 48, 80},
     0,
     50,
     2,
     13824,
     512,
     "Wan2.1 T2V 14B, 768 x 1280, 69 frames"},
    {"wan2.2-a14b-720p",
     40,
     40,
     128,
     {21, 45, 80},
     0,
     40,
     2,
     13824,
     512,
     "Wan2.2 A14B, 720 x 1280, 81 frames"},
    {"wan2.2-ti2v-5b",
     30,
     24,
     128,
     {31, 22, 40},
     0,
     50,
     2,
     14336,
     512,
     "Wan2.2 TI2V 5B, 704 x 1280, 121 frames"},
    {"hunyuanvideo-720p-129f",
     60,
     24,
     128,
     {33, 45, 80},
     256,
     50,
     1,
     12288,
     0,
     "HunyuanVideo, 720 x 1280, 129 frames"},
    {"hunyuanvideo-768p-117f",
     60,
     24,
     128,
     {30, 48, 80},
     256,
     50,
     1,
     12288,
     0,
     "HunyuanVideo, 768 x 1280, 117 frames"},
    {"hunyuanvideo-1.5-720p",
     54,
     16,
     128,
     {31, 45, 80},
     0,
     50,
     2,
     8192,
     0,
     "HunyuanVideo 1.5, 720 x 1280, 121 frames, without text"},
    {"cogvideox-5b",
     42,
     48,
     64,
     {13, 30, 45},
     226,
     50,
     2,
     12288,
     0,
     "CogVideoX 5B, 480 x 720, 49 frames"},
    {"cogvideox1.5-5b",
     42,
     48,
     64,
     {11, 48, 85},
     226,
     50,
     2,
     12288,
     0,
     "CogVideoX 1.5 5B, 768 x 1360, 81 frames"},
    {"mochi", 48, 24, 128, {28, 30, 53}, 256, 64, 2, 12288, 0, "Mochi 1, 480 x 848, 163 frames"},
    {"flux.1-dev",
     57,
     24,
     128,
     {1, 48, 85},
     512,
     50,
     1,
     12288,
     0,
     "FLUX.1-dev, 768 x 1360, an image"},
    {"minimax-h3-2k-15s",
     50,
     56,
     128,
     {107, 34, 60},
     1206,
     50,
     1,
     0,
     0,
     "MiniMax-H3, 1088 x 1920, 362 frames, with audio, without text"},
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

std::string PresetNote(const std::string& name) {
  for (const Preset& p : kPresets) {
    if (name == p.name) return p.note;
  }
  return {};
}

LayerWidths LayerWidthsOf(const ModelShape& model) {
  // A scaled preset keeps its widths; `make` marks its name.
  const std::string name = model.name.substr(0, model.name.find(' '));
  for (const Preset& p : kPresets) {
    if (name != p.name || model.heads != p.heads || model.head_dim != p.head_dim) continue;
    if (p.feed_forward > 0) return {p.feed_forward, p.cross_text, true};
  }
  return {4 * model.heads * model.head_dim, 0, false};
}

}  // namespace dbsp::planner
