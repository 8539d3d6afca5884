// SPDX-License-Identifier: Apache-2.0
// What is stored about a kernel of a user's plugin (kernels/plugin.h): its id, and the facts that a
// search needs. A measurement's environment holds the facts as one of its other facts.
#pragma once

#include <string>
#include <string_view>

namespace dbsp {

/// Ids of plugin kernels are NAME@VERSION#HASH, where HASH identifies the plugin's file. No other
/// kernel has '#' in its name.
[[nodiscard]] std::string_view PluginNameOf(std::string_view kernel);  ///< NAME@VERSION, or ""
[[nodiscard]] std::string_view PluginHashOf(std::string_view kernel);  ///< HASH, or ""
/// The file that a --kernels flag names: `flag` itself, or what follows "python:".
[[nodiscard]] std::string PluginPathOf(const std::string& flag);
[[nodiscard]] bool IsPythonPlugin(std::string_view flag);
/// The HASH of a file. errors as HashFile
[[nodiscard]] std::string PluginFileHash(const std::string& file);

struct PluginFacts {
  bool lse = false;  ///< writes log-sum-exp, so that partial results can be merged
  bool quantising = false;
  double max_relative_error = 0;  ///< declared; 0: none
  std::string file;  ///< name without its folder
};

/// Key of the facts in Provenance::extra.
[[nodiscard]] std::string PluginFactName(std::string_view kernel);
[[nodiscard]] std::string ToText(const PluginFacts& facts);  ///< one line of JSON
/// errors  Error{kCorruptInput} for a text that ToText() does not write
[[nodiscard]] PluginFacts PluginFactsFrom(const std::string& text);

}  // namespace dbsp
