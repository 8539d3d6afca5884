// SPDX-License-Identifier: Apache-2.0
#include "core/plugin_facts.h"

#include <fmt/format.h>

#include "core/file.h"
#include "core/json.h"

namespace dbsp {
namespace {

constexpr std::size_t kHashDigits = 16;
constexpr std::string_view kPython = "python:";

}  // namespace

std::string_view PluginNameOf(std::string_view kernel) {
  const std::size_t hash = kernel.find('#');
  return hash == std::string_view::npos ? "" : kernel.substr(0, hash);
}

std::string_view PluginHashOf(std::string_view kernel) {
  const std::size_t hash = kernel.find('#');
  return hash == std::string_view::npos ? "" : kernel.substr(hash + 1);
}

bool IsPythonPlugin(std::string_view flag) { return flag.starts_with(kPython); }

std::string PluginPathOf(const std::string& flag) {
  return IsPythonPlugin(flag) ? flag.substr(kPython.size()) : flag;
}

std::string PluginFileHash(const std::string& file) {
  return HashFile(file).substr(0, kHashDigits);
}

std::string PluginFactName(std::string_view kernel) { return fmt::format("plugin {}", kernel); }

std::string ToText(const PluginFacts& facts) {
  return DumpJson({{"lse", facts.lse},
                   {"quantising", facts.quantising},
                   {"max_relative_error", facts.max_relative_error},
                   {"file", facts.file}});
}

PluginFacts PluginFactsFrom(const std::string& text) {
  const std::string origin = "a plugin's facts";
  const Json json = ParseJson(text, origin);
  const JsonView view(json, origin);
  return {.lse = view["lse"].Bool(),
          .quantising = view["quantising"].Bool(),
          .max_relative_error = view["max_relative_error"].Number(0),
          .file = view["file"].String()};
}

}  // namespace dbsp
