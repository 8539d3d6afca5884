// SPDX-License-Identifier: Apache-2.0
// Finds Q or K in a file of arrays by names: one array, or a numbered series with one array per
// step and layer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace dbsp::predict {

/// The arrays that together hold Q or K.
struct TensorNames {
  std::vector<std::string> names;  ///< in C order of `grid`; one name without a grid
  std::vector<std::int64_t> grid;  ///< sizes of the axes that the names number
  std::string letters;  ///< of these axes, 'T' (steps) or 'L' (layers); '?' if the names do not say
  std::vector<std::int64_t> steps;  ///< numbers of the steps in the names; empty without axis T
  std::string shown;  ///< for messages
};

enum class TensorRole : std::uint8_t { kQuery, kKey };

/// `name` chooses an array or a series ("layers.*.q"); "" if the file's names tell. Arrays whose
/// name has a word "q", "query" or "queries" are Q, those with "k", "key" or "keys" are K; a file
/// with one array or one series needs no such word. Numbers behind "step", "t" or "time" number
/// steps, numbers behind "layer", "block" or "blocks" number layers. Two numbers without a word are
/// (step, layer).
/// errors  Error{kInvalidArgument} if several are possible or numbers are missing, with the names;
///         Error{kNotFound} for an unknown name; those of ListArrays
[[nodiscard]] TensorNames FindTensors(const std::filesystem::path& path,
                                      const std::string& name,
                                      TensorRole role);

}  // namespace dbsp::predict
