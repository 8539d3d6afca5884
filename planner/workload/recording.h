// SPDX-License-Identifier: Apache-2.0
// Masks that one rank of a running model recorded (docs/formats/recording.md).
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/arrays/array.h"
#include "core/shape.h"

namespace dbsp::planner {

/// One mask of a recording: where it belongs, and its number in Recording::bits.
struct RecordedCell {
  int step = 0;
  int layer = 0;
  int pass = 0;
  int head = 0;
  int mask = 0;
};

/// Parts of the model that a recording may state.
struct RecordedShape {
  std::string model;
  Grid grid;  ///< on which the method computes
  std::int64_t text_tokens = 0;
  BlockSize block;
  int steps = 1;
  int passes = 1;  ///< guidance passes with masks of their own
  std::optional<int> layers;
  std::optional<int> heads;
  std::optional<int> head_dim;
  [[nodiscard]] std::int64_t tokens() const { return grid.tokens() + text_tokens; }
};

struct Recording {
  std::filesystem::path path;
  std::map<std::string, std::string> texts;  ///< of the file, by key
  RecordedShape shape;
  std::string prompt;  ///< "" without one
  int rank = 0;
  std::vector<RecordedCell> cells;
  Array bits;  ///< u1 [masks, Q, ceil(K / 8)], the low bit first
  std::int64_t padding = 0;  ///< tokens of tiles that are no tokens of the video
};

/// True if the file's metadata name the format "dbsp.recording/1".
/// errors  Error{kIo, kNotFound, kCorruptInput} with the file
[[nodiscard]] bool IsRecording(const std::filesystem::path& path);

/// errors  Error{kCorruptInput} with file and key, or file, array and row, for a text, shape or
///         number that is none; Error{kIo, kNotFound}
[[nodiscard]] Recording ReadRecording(const std::filesystem::path& path);

}  // namespace dbsp::planner
