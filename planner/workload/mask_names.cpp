// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/mask_names.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <optional>
#include <set>
#include <string_view>

#include "core/error.h"
#include "core/suggest.h"

namespace dbsp {
namespace {

/// Names of the two parts of an index layout.
struct Pair {
  MaskLayout layout;
  std::string_view counts;  ///< or pointers
  std::string_view columns;
  bool by_columns = false;
};
/// A pair of rows comes before the pair of columns of the same mask.
constexpr std::array<Pair, 10> kPairs{{
    {MaskLayout::kIndices, "kv_num_blocks", "kv_indices"},
    {MaskLayout::kIndices, "q2k_block_sparse_num", "q2k_block_sparse_index"},
    {MaskLayout::kIndices, "q2k_num", "q2k_index"},
    {MaskLayout::kIndices, "q_num_blocks", "q_indices", true},
    {MaskLayout::kIndices, "k2q_block_sparse_num", "k2q_block_sparse_index", true},
    {MaskLayout::kIndices, "k2q_num", "k2q_index", true},
    {MaskLayout::kBsr, "indptr", "indices"},
    {MaskLayout::kBsr, "crow_indices", "col_indices"},
    {MaskLayout::kLut, "valid_block_num", "lut"},
    {MaskLayout::kLut, "counts", "lut"},
}};
constexpr std::string_view kFull = "full_";

/// The part of `name` before `ending`, if it is empty or ends with a separator.
std::optional<std::string> Before(std::string_view name, std::string_view ending) {
  if (!name.ends_with(ending)) return std::nullopt;
  const std::string_view prefix = name.substr(0, name.size() - ending.size());
  if (!prefix.empty() && std::string_view("_./").find(prefix.back()) == std::string_view::npos) {
    return std::nullopt;
  }
  return std::string(prefix);
}

std::string WithoutSeparator(std::string_view prefix) {
  if (!prefix.empty()) prefix.remove_suffix(1);
  return std::string(prefix);
}

/// Text with every run of digits replaced by '*', and the runs.
struct Numbered {
  std::string pattern;
  std::vector<std::string> numbers;
};
Numbered SplitNumbers(const std::string& name) {
  Numbered split;
  bool inside = false;
  for (const char c : name) {
    const bool digit = std::isdigit(static_cast<unsigned char>(c)) != 0;
    if (digit && !inside) {
      split.pattern += '*';
      split.numbers.emplace_back();
    }
    if (digit) split.numbers.back() += c;
    if (!digit) split.pattern += c;
    inside = digit;
  }
  return split;
}

/// Sorts the arrays of a file into masks.
class Finder {
 public:
  explicit Finder(const std::filesystem::path& path) : path_(path), arrays_(ListArrays(path)) {
    for (const ArrayInfo& array : arrays_) {
      if (array.problem.empty()) known_.insert(array.name);
    }
    for (const Pair& pair : kPairs) FindPairs(pair);
    FindHalves();
    FindSeries();
    for (const ArrayInfo& array : arrays_) {
      if (!array.problem.empty() || used_.contains(array.name)) continue;
      if (array.shape.size() < 2) continue;  // no mask
      masks_.push_back({MaskLayout::kDense, {array.name}, array.name, false, {}, ""});
    }
  }

  MaskArrays Choose(const std::string& name) {
    if (name.empty()) return Only();
    for (const auto& [half, missing] : halves_) {
      if (half == name) RefuseHalf(half, missing);
    }
    const bool array = known_.contains(name);
    for (const MaskArrays& mask : masks_) {
      const bool part = std::ranges::find(mask.names, name) != mask.names.end();
      if (part && mask.layout != MaskLayout::kDense) return mask;
      if (!array && mask.shown == name) return mask;
      if (!array && mask.grid.size() > 0 && mask.shown.starts_with(name + ".")) return mask;
    }
    if (!array) RefuseUnknown(name);
    return {MaskLayout::kDense, {name}, name, false, {}, ""};
  }

 private:
  void FindPairs(const Pair& pair) {
    for (const std::string& name : known_) {
      const std::optional<std::string> prefix = Before(name, pair.columns);
      if (!prefix || !known_.contains(*prefix + std::string(pair.counts)) ||
          prefix->ends_with(kFull) || used_.contains(name)) {
        continue;
      }
      MaskArrays mask{pair.layout, {}, "", pair.by_columns, {}, ""};
      const auto add = [&](const std::string& before) {
        mask.names.push_back(before + std::string(pair.counts));
        mask.names.push_back(before + std::string(pair.columns));
      };
      add(*prefix);
      if (pair.layout == MaskLayout::kIndices) AddFull(*prefix, pair, add);
      mask.shown = prefix->empty() ? std::string(pair.columns) : WithoutSeparator(*prefix);
      used_.insert(mask.names.begin(), mask.names.end());
      if (pair.layout == MaskLayout::kIndices) UseTransposed(*prefix);
      if (pair.layout == MaskLayout::kBsr) UseSparseMatrix(*prefix, mask);
      masks_.push_back(std::move(mask));
    }
  }

  template <typename Add>
  void AddFull(const std::string& prefix, const Pair& pair, const Add& add) {
    const std::string full = prefix + std::string(kFull);
    const bool counts = known_.contains(full + std::string(pair.counts));
    const bool columns = known_.contains(full + std::string(pair.columns));
    if (counts && columns) add(full);
    if (counts == columns) return;
    Fail(ErrorCode::kInvalidArgument,
         "{}: holds one of {}{} and {}{}, which make a mask only together",
         path_.string(),
         full,
         pair.counts,
         full,
         pair.columns);
  }

  /// The pairs by columns hold the same mask again.
  void UseTransposed(const std::string& prefix) {
    for (const Pair& pair : kPairs) {
      if (!pair.by_columns) continue;
      for (const std::string& before : {prefix, prefix + std::string(kFull)}) {
        used_.insert(before + std::string(pair.counts));
        used_.insert(before + std::string(pair.columns));
      }
    }
  }

  /// Arrays beside indptr and indices of a matrix that scipy.sparse.save_npz wrote.
  void UseSparseMatrix(const std::string& prefix, MaskArrays& mask) {
    for (const ArrayInfo& array : arrays_) {
      if (array.name == prefix + "data" && array.problem.empty()) mask.values = array.name;
      if (array.name == prefix + "format" && !array.text.empty() && array.text != "csr" &&
          array.text != "bsr") {
        Fail(ErrorCode::kInvalidArgument,
             "{}: is a sparse matrix of format '{}', expected csr; save matrix.tocsr()",
             path_.string(),
             array.text);
      }
    }
    used_.insert(prefix + "data");
    used_.insert(prefix + "shape");
  }

  /// Parts of index layouts whose other part is missing.
  void FindHalves() {
    for (const Pair& pair : kPairs) {
      for (const std::string& name : known_) {
        if (used_.contains(name)) continue;
        for (const auto& [own, other] :
             {std::pair{pair.counts, pair.columns}, std::pair{pair.columns, pair.counts}}) {
          const std::optional<std::string> prefix = Before(name, own);
          if (!prefix || own == "counts") continue;  // "counts" is also a common name
          std::string missing = *prefix + std::string(other);
          if (known_.contains(missing) && prefix->ends_with(kFull)) {  // full blocks alone
            missing = prefix->substr(0, prefix->size() - kFull.size()) + std::string(pair.counts);
          }
          halves_.emplace(name, missing);
        }
      }
    }
    for (const auto& [name, missing] : halves_) used_.insert(name);
  }

  /// Series of arrays that differ only in numbers: "layers.0", "layers.1"; "0.0", "0.1", "1.0" ...
  void FindSeries() {
    std::map<std::string, std::vector<const ArrayInfo*>> groups;
    for (const ArrayInfo& array : arrays_) {
      if (!array.problem.empty() || used_.contains(array.name)) continue;
      groups[SplitNumbers(array.name).pattern].push_back(&array);
    }
    for (const auto& [pattern, group] : groups) {
      if (group.size() < 2 || group.front()->shape.size() < 2) continue;
      if (!FindGrid(pattern, group)) broken_ = pattern;
    }
  }

  /// False if the arrays form no complete grid of equal types and shapes.
  bool FindGrid(const std::string& pattern, const std::vector<const ArrayInfo*>& group) {
    const std::size_t places = SplitNumbers(group.front()->name).numbers.size();
    std::vector<std::set<std::int64_t>> seen(places);
    std::map<std::vector<std::int64_t>, std::string> names;
    for (const ArrayInfo* array : group) {
      if (array->shape != group.front()->shape || array->type != group.front()->type ||
          array->shape.size() < 2) {
        return false;
      }
      std::vector<std::int64_t> index;
      for (const std::string& number : SplitNumbers(array->name).numbers) {
        if (number.size() > 9) return false;
        index.push_back(std::stoll(number));
        seen[index.size() - 1].insert(index.back());
      }
      if (!names.emplace(index, array->name).second) return false;  // as "m1" and "m01"
    }
    MaskArrays mask{MaskLayout::kDense, {}, pattern, false, {}, ""};
    std::size_t cells = 1;
    for (const std::set<std::int64_t>& values : seen) {
      if (values.size() == 1) continue;  // a number that all names have
      if (*values.begin() != 0 ||
          *values.rbegin() + 1 != static_cast<std::int64_t>(values.size())) {
        return false;
      }
      mask.grid.push_back(static_cast<std::int64_t>(values.size()));
      cells *= values.size();
    }
    if (cells != names.size()) return false;
    for (const auto& [index, name] : names) {
      mask.names.push_back(name);
      used_.insert(name);
    }
    masks_.push_back(std::move(mask));
    return true;
  }

  MaskArrays Only() {
    if (masks_.size() == 1) return masks_.front();
    if (masks_.empty()) {
      if (!halves_.empty()) RefuseHalf(halves_.begin()->first, halves_.begin()->second);
      if (known_.size() == 1) return {MaskLayout::kDense, {*known_.begin()}, "", false, {}, ""};
      for (const ArrayInfo& array : arrays_) {
        if (!array.problem.empty()) throw Error(ErrorCode::kCorruptInput, array.problem);
      }
      Fail(ErrorCode::kCorruptInput,
           "{}: holds no array{}",
           path_.string(),
           known_.empty() ? "" : " of two or more dimensions");
    }
    Fail(ErrorCode::kInvalidArgument,
         "{}: holds {} masks, choose one with name=: {}{}",
         path_.string(),
         masks_.size(),
         fmt::join(Shown(), ", "),
         broken_.empty() ? ""
                         : fmt::format("; '{}' would be read as one array if its numbers formed a "
                                       "complete grid from 0 of equal types and shapes",
                                       broken_));
  }

  [[nodiscard]] std::vector<std::string> Shown() const {
    std::vector<std::string> shown;
    for (const MaskArrays& mask : masks_) shown.push_back(mask.shown);
    return shown;
  }

  [[noreturn]] void RefuseHalf(const std::string& name, const std::string& missing) const {
    Fail(ErrorCode::kInvalidArgument,
         "{}: array '{}' is one part of an index layout and no mask of its own; the file lacks "
         "'{}'",
         path_.string(),
         name,
         missing);
  }

  [[noreturn]] void RefuseUnknown(const std::string& name) const {
    for (const ArrayInfo& array : arrays_) {
      if (array.name == name) throw Error(ErrorCode::kCorruptInput, array.problem);
    }
    Fail(ErrorCode::kNotFound, "{}: {}", path_.string(), UnknownName("array", name, Shown()));
  }

  const std::filesystem::path& path_;
  std::vector<ArrayInfo> arrays_;
  std::set<std::string> known_;  ///< arrays that can be read
  std::set<std::string> used_;  ///< arrays that are part of a mask, or known to be none
  std::map<std::string, std::string> halves_;  ///< part, and the part that is missing
  std::vector<MaskArrays> masks_;
  std::string broken_;  ///< pattern of names with numbers that form no grid
};

}  // namespace

const char* NameOf(MaskLayout layout) {
  switch (layout) {
    case MaskLayout::kDense:
      return "dense";
    case MaskLayout::kBsr:
      return "row pointers and columns (BSR)";
    case MaskLayout::kLut:
      return "counts and steps from column to column (LUT)";
    case MaskLayout::kIndices:
      return "counts and columns (FlexAttention)";
  }
  DBSP_CHECK(false);
}

MaskArrays FindMaskArrays(const std::filesystem::path& path, const std::string& name) {
  return Finder(path).Choose(name);
}

}  // namespace dbsp
