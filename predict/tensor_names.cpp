// SPDX-License-Identifier: Apache-2.0
#include "predict/tensor_names.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

#include "core/arrays/array.h"
#include "core/error.h"
#include "core/suggest.h"
#include "planner/workload/numbered_names.h"

namespace dbsp::predict {
namespace {

bool IsLetter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; }

/// Words of letters of a name, in small letters; "*" stands for a number.
std::vector<std::string> WordsOf(const std::string& pattern) {
  std::vector<std::string> words;
  bool inside = false;
  for (const char c : pattern) {
    if (c == '*') words.emplace_back("*");
    if (IsLetter(c) && !inside) words.emplace_back();
    if (IsLetter(c)) words.back() += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    inside = IsLetter(c);
  }
  return words;
}

bool HasRole(const std::string& pattern, TensorRole role) {
  const std::set<std::string> words = role == TensorRole::kQuery
                                          ? std::set<std::string>{"q", "query", "queries"}
                                          : std::set<std::string>{"k", "key", "keys"};
  return std::ranges::any_of(WordsOf(pattern),
                             [&](const std::string& word) { return words.contains(word); });
}

/// Letter of every number of a pattern.
std::string LettersOf(const std::string& pattern) {
  std::string letters;
  std::string before;
  for (const std::string& word : WordsOf(pattern)) {
    if (word != "*") {
      before = word;
      continue;
    }
    const bool step = before == "step" || before == "steps" || before == "t" || before == "time" ||
                      before == "timestep";
    const bool layer = before == "layer" || before == "layers" || before == "block" ||
                       before == "blocks" || before == "l";
    letters += step ? 'T' : layer ? 'L' : '?';
    before.clear();
  }
  return letters;
}

using Members = std::map<std::vector<std::int64_t>, std::string>;  // numbers -> name

/// Names and axes of a numbered series of tensors, such as step0.layer1.q. A number that is equal
/// in all names is no axis.
TensorNames SeriesOf(const std::filesystem::path& path,
                     const std::string& pattern,
                     const Members& members) {
  TensorNames series;
  series.shown = pattern;
  std::vector<std::set<std::int64_t>> seen(members.begin()->first.size());
  for (const auto& [numbers, name] : members) {
    series.names.push_back(name);
    for (std::size_t i = 0; i < numbers.size(); ++i) seen[i].insert(numbers[i]);
  }
  const std::string letters = LettersOf(pattern);
  std::size_t cells = 1;
  for (std::size_t i = 0; i < seen.size(); ++i) {
    if (seen[i].size() == 1) continue;
    cells *= seen[i].size();
    series.grid.push_back(static_cast<std::int64_t>(seen[i].size()));
    series.letters += letters[i];
  }
  if (series.letters == "??") series.letters = "TL";
  std::size_t axis = 0;
  for (const std::set<std::int64_t>& numbers : seen) {
    if (numbers.size() == 1) continue;
    const bool steps = series.letters[axis++] == 'T';
    if (steps) series.steps.assign(numbers.begin(), numbers.end());
    const bool whole = *numbers.rbegin() + 1 == static_cast<std::int64_t>(numbers.size());
    if (*numbers.begin() != 0 || (!steps && !whole)) {
      Fail(ErrorCode::kInvalidArgument,
           "{}: '{}' has the numbers {}, expected {}",
           path.string(),
           pattern,
           fmt::join(numbers, ", "),
           steps ? "steps from 0" : "every number from 0");
    }
  }
  if (cells != members.size()) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: '{}' has {} arrays, expected {}, one for every {}",
         path.string(),
         pattern,
         members.size(),
         cells,
         series.letters == "TL" || series.letters == "LT" ? "step and layer" : "number");
  }
  return series;
}

}  // namespace

TensorNames FindTensors(const std::filesystem::path& path,
                        const std::string& name,
                        TensorRole role) {
  std::map<std::string, Members> found;  // by pattern
  std::string problem;
  for (const ArrayInfo& array : ListArrays(path)) {
    if (!array.problem.empty()) problem = array.problem;
    if (!array.problem.empty() || array.shape.size() < 2) continue;
    if (array.name == name && !name.empty()) return {{name}, {}, "", {}, name};
    const auto numbers = NumbersOf(array.name);
    const std::string pattern = numbers ? SplitNumbers(array.name).pattern : array.name;
    found[pattern].emplace(numbers.value_or(std::vector<std::int64_t>{}), array.name);
  }
  std::vector<std::string> patterns;
  for (const auto& [pattern, members] : found) {
    if (name.empty() || pattern == name) patterns.push_back(pattern);
  }
  const char* flag = role == TensorRole::kQuery ? "--q-name" : "--k-name";
  if (patterns.empty() && !name.empty()) {
    std::vector<std::string> known;
    for (const auto& [pattern, members] : found) known.push_back(pattern);
    if (known == std::vector<std::string>{""}) {
      Fail(ErrorCode::kNotFound,
           "{}: {} {}: the file holds one array without a name; leave {} out",
           path.string(),
           flag,
           name,
           flag);
    }
    throw Error(ErrorCode::kNotFound,
                fmt::format("{}: {}: {}", path.string(), flag, UnknownName("array", name, known)));
  }
  if (patterns.size() > 1) {
    std::vector<std::string> fitting;
    std::ranges::copy_if(patterns, std::back_inserter(fitting), [&](const std::string& pattern) {
      return HasRole(pattern, role);
    });
    if (fitting.size() != 1) {
      Fail(ErrorCode::kInvalidArgument,
           "{}: holds several arrays, choose one with {}: {}",
           path.string(),
           flag,
           fmt::join(patterns, ", "));
    }
    patterns = fitting;
  }
  if (patterns.empty()) {
    if (!problem.empty()) throw Error(ErrorCode::kCorruptInput, problem);
    Fail(ErrorCode::kCorruptInput, "{}: holds no array of two or more dimensions", path.string());
  }
  const Members& members = found.at(patterns.front());
  if (members.size() == 1) {
    const std::string& only = members.begin()->second;
    return {{only}, {}, "", {}, only};
  }
  return SeriesOf(path, patterns.front(), members);
}

}  // namespace dbsp::predict
