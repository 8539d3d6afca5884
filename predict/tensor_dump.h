// SPDX-License-Identifier: Apache-2.0
// Q or K of a model run: tensors of one or more steps and layers in array files.
//
// One letter stands for each axis: T steps, L layers, B batch, H heads, S tokens, D head dimension.
// The last axes are HSD, SHD or SD.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/arrays/array.h"
#include "predict/tensor_names.h"

namespace dbsp::predict {

/// What the user said about the axes and the model.
struct DumpRequest {
  std::string name;  ///< as FindTensors
  std::optional<std::string> axes;  ///< letters of all axes, those that the names number first
  std::optional<std::int64_t> batch;  ///< entry of axis B
  std::optional<std::int64_t> steps, layers, heads, tokens;  ///< of the model, if known
};

/// threads  not safe concurrently
class TensorDump {
 public:
  /// Opens the file and resolves the axes.
  /// errors   those of FindTensors; Error{kInvalidArgument} if several readings of the axes are
  ///          possible, with --axes; Error{kMismatch} for arrays of other shapes or types
  TensorDump(const std::filesystem::path& path, TensorRole role, const DumpRequest& request);
  ~TensorDump();

  /// Size of an axis, 1 for an axis that the tensors do not have.
  [[nodiscard]] std::int64_t Size(char letter) const;
  [[nodiscard]] const std::string& letters() const { return letters_; }
  [[nodiscard]] const std::vector<std::int64_t>& shape() const { return shape_; }
  /// Numbers of the steps in the names; empty if the names do not number steps.
  [[nodiscard]] const std::vector<std::int64_t>& steps() const { return tensors_.steps; }
  /// "FILE: array 'NAME'", with which messages begin.
  [[nodiscard]] const std::string& subject() const { return subject_; }
  /// Name, type, shape and axes in one sentence.
  [[nodiscard]] std::string Text() const;

  /// All tokens of one head, [S][D].
  /// errors   Error{kCorruptInput} for an element that is not finite, with its place
  [[nodiscard]] std::vector<float> Head(std::int64_t time,
                                        std::int64_t layer,
                                        std::int64_t head) const;

 private:
  void ResolveAxes(const DumpRequest& request);
  [[nodiscard]] std::string TailOf(const DumpRequest& request) const;
  void CheckAxes(const std::string& letters) const;

  TensorNames tensors_;
  std::vector<ArrayFile> files_;
  std::string subject_;
  std::vector<std::int64_t> shape_;  ///< of all axes
  std::string letters_;
  std::int64_t batch_ = 0;
  // Tokens come before heads: the last layer that was read, because heads cannot be sliced.
  mutable std::vector<std::int64_t> kept_index_;
  mutable Array kept_;
};

}  // namespace dbsp::predict
