// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/mask_names.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <string_view>

#include "core/error.h"
#include "core/suggest.h"
#include "planner/workload/numbered_names.h"

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
constexpr std::array<Pair, 14> kPairs{{
    {MaskLayout::kIndices, "kv_num_blocks", "kv_indices"},
    {MaskLayout::kIndices, "q2k_block_sparse_num", "q2k_block_sparse_index"},
    {MaskLayout::kIndices, "q2k_num", "q2k_index"},
    {MaskLayout::kIndices, "q2k_num", "q2k_idx"},
    {MaskLayout::kIndices, "mask_block_cnt", "mask_block_idx"},
    {MaskLayout::kIndices, "q_num_blocks", "q_indices", true},
    {MaskLayout::kIndices, "k2q_block_sparse_num", "k2q_block_sparse_index", true},
    {MaskLayout::kIndices, "k2q_num", "k2q_index", true},
    {MaskLayout::kIndices, "k2q_num", "k2q_idx", true},
    {MaskLayout::kBsr, "indptr", "indices"},
    {MaskLayout::kBsr, "crow_indices", "col_indices"},
    {MaskLayout::kBsr, "offsets", "keys"},
    {MaskLayout::kLut, "valid_block_num", "lut"},
    {MaskLayout::kLut, "counts", "lut"},
}};
constexpr std::string_view kFull = "full_";
constexpr std::string_view kMask = "mask_";

/// Other layouts: parts that must be there, and one that may be.
struct Group {
  MaskLayout layout;
  std::vector<std::string_view> needed;
  std::string_view optional;
};
const std::vector<Group>& Groups() {
  static const std::vector<Group> groups{
      {MaskLayout::kRagged, {"lut_start", "lut_count", "kv_block_indices"}, ""},
      {MaskLayout::kRanges, {"q_ranges", "k_ranges"}, "attn_type_map"},
      {MaskLayout::kVariable, {"block_mask_map", "block_row_sz", "block_col_sz"}, ""},
      {MaskLayout::kVariable, {"dynamic_map", "qc_sz_s", "kc_sz_s"}, ""},
      {MaskLayout::kVariable, {"dyn_map", "qc_sz_s", "kc_sz_s"}, ""},
      {MaskLayout::kPacked, {"mask_bits"}, "mask_index"},
  };
  return groups;
}

/// Name of the list of full blocks beside a list: "full_kv_indices", "full_block_idx".
std::string FullName(std::string_view name) {
  if (name.starts_with(kMask)) name.remove_prefix(kMask.size());
  return std::string(kFull) + std::string(name);
}

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

/// Sorts the arrays of a file into masks.
class Finder {
 public:
  explicit Finder(const std::filesystem::path& path) : path_(path), arrays_(ListArrays(path)) {
    for (const ArrayInfo& array : arrays_) {
      if (array.problem.empty()) known_.insert(array.name);
    }
    for (const Group& group : Groups()) FindGroups(group);
    for (const Pair& pair : kPairs) FindPairs(pair);
    FindHalves();
    FindTuples();
    JoinLists();
    FindSeries();
    for (const ArrayInfo& array : arrays_) {
      if (!array.problem.empty() || used_.contains(array.name)) continue;
      if (array.shape.size() < 2) continue;  // no mask
      masks_.push_back({MaskLayout::kDense, {array.name}, array.name});
    }
  }

  MaskArrays Choose(const std::string& name) {
    if (name.empty()) return Only();
    for (const auto& [half, missing] : halves_) {
      if (half == name) RefuseHalf(half, missing);
    }
    const bool array = known_.contains(name);
    std::vector<MaskArrays> all = joined_;
    all.insert(all.end(), masks_.begin(), masks_.end());
    for (const MaskArrays& mask : all) {
      const bool part = std::ranges::find(mask.names, name) != mask.names.end();
      if (part && mask.layout != MaskLayout::kDense) return mask;
      if (!array && mask.shown == name) return mask;
      if (!array && mask.grid.size() > 0 && mask.shown.starts_with(name + ".")) return mask;
    }
    if (!array) RefuseUnknown(name);
    return {MaskLayout::kDense, {name}, name};
  }

 private:
  void FindGroups(const Group& group) {
    for (const std::string& name : known_) {
      const std::optional<std::string> prefix = Before(name, group.needed.front());
      if (!prefix || used_.contains(name)) continue;
      MaskArrays mask{group.layout, {}, *prefix + std::string(group.needed.back())};
      for (const std::string_view part : group.needed) {
        mask.names.push_back(*prefix + std::string(part));
      }
      if (!std::ranges::all_of(mask.names, [&](const auto& n) { return known_.contains(n); })) {
        continue;
      }
      if (const std::string more = *prefix + std::string(group.optional);
          !group.optional.empty() && known_.contains(more)) {
        mask.names.push_back(more);
      }
      if (!prefix->empty()) mask.shown = WithoutSeparator(*prefix);
      RefuseRecording(group, *prefix);
      used_.insert(mask.names.begin(), mask.names.end());
      masks_.push_back(std::move(mask));
    }
  }

  /// The file of one rank says in "cells" which heads and steps its masks belong to.
  void RefuseRecording(const Group& group, const std::string& prefix) const {
    if (group.layout != MaskLayout::kPacked || !known_.contains(prefix + "cells")) return;
    Fail(ErrorCode::kInvalidArgument,
         "{}: is a recording of one rank; join those of all ranks with 'dbsp-workload merge FOLDER "
         "-o w.json'",
         path_.string());
  }

  void FindPairs(const Pair& pair) {
    for (const std::string& name : known_) {
      const std::optional<std::string> prefix = Before(name, pair.columns);
      if (!prefix || !known_.contains(*prefix + std::string(pair.counts)) ||
          prefix->ends_with(kFull) || used_.contains(name)) {
        continue;
      }
      MaskArrays mask{pair.layout, {}, ""};
      mask.by_columns = pair.by_columns;
      mask.names = {*prefix + std::string(pair.counts), *prefix + std::string(pair.columns)};
      if (pair.layout == MaskLayout::kIndices) AddFull(*prefix, pair, mask);
      mask.parts = mask.names.size();
      if (const std::string tiles = *prefix + "variable_block_sizes";
          pair.layout == MaskLayout::kIndices && known_.contains(tiles)) {
        mask.tiles = tiles;
        used_.insert(tiles);
      }
      mask.shown = prefix->empty() ? std::string(pair.columns) : WithoutSeparator(*prefix);
      used_.insert(mask.names.begin(), mask.names.end());
      if (pair.layout == MaskLayout::kIndices) UseTransposed(*prefix);
      if (pair.layout == MaskLayout::kBsr) UseSparseMatrix(*prefix, mask);
      masks_.push_back(std::move(mask));
    }
  }

  void AddFull(const std::string& prefix, const Pair& pair, MaskArrays& mask) {
    const std::string counts = prefix + FullName(pair.counts);
    const std::string columns = prefix + FullName(pair.columns);
    if (known_.contains(counts) && known_.contains(columns)) {
      mask.names.insert(mask.names.end(), {counts, columns});
    }
    if (known_.contains(counts) == known_.contains(columns)) return;
    Fail(ErrorCode::kInvalidArgument,
         "{}: holds one of {} and {}, which make a mask only together",
         path_.string(),
         counts,
         columns);
  }

  /// The pairs by columns hold the same mask again.
  void UseTransposed(const std::string& prefix) {
    for (const Pair& pair : kPairs) {
      if (!pair.by_columns) continue;
      for (const std::string_view part : {pair.counts, pair.columns}) {
        used_.insert(prefix + std::string(part));
        used_.insert(prefix + FullName(part));
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
    for (const std::string& name : known_) {
      if (used_.contains(name)) continue;
      for (const Group& group : Groups()) FindPart(name, group);
      for (const Pair& pair : kPairs) FindHalf(name, pair);
    }
    for (const auto& [name, missing] : halves_) used_.insert(name);
  }

  void FindHalf(const std::string& name, const Pair& pair) {
    for (const auto& [own, other] :
         {std::pair{pair.counts, pair.columns}, std::pair{pair.columns, pair.counts}}) {
      if (own == "counts" || own == "keys") continue;  // also common names
      if (const auto prefix = Before(name, FullName(own));  // full blocks alone
          prefix && pair.layout == MaskLayout::kIndices) {
        halves_.emplace(name, *prefix + std::string(pair.counts));
      }
      if (const auto prefix = Before(name, own)) {
        halves_.emplace(name, *prefix + std::string(other));
      }
    }
  }

  void FindPart(const std::string& name, const Group& group) {
    if (group.layout == MaskLayout::kVariable) return;  // a mask map alone is a dense mask
    for (const std::string_view own : group.needed) {
      const std::optional<std::string> prefix = Before(name, own);
      if (!prefix) continue;
      for (const std::string_view other : group.needed) {
        std::string missing = *prefix + std::string(other);
        if (!known_.contains(missing)) halves_.emplace(name, std::move(missing));
      }
    }
  }

  /// The tensors of BlockMask.as_tuple(): kv_num_blocks, kv_indices, the full ones or None, then
  /// the same by columns and more. Lengths and None are no tensors, so the first number varies.
  /// Functions of SpargeAttn and FastVideo return a table and its counts. "arr_0" is numpy.savez.
  void FindTuples() {
    std::map<std::string, std::map<std::int64_t, const ArrayInfo*>> tuples;  // by prefix
    for (const ArrayInfo& array : arrays_) {
      if (!array.problem.empty() || used_.contains(array.name)) continue;
      const std::size_t digits = array.name.find_last_not_of("0123456789") + 1;  // 0 without others
      const std::string prefix = array.name.substr(0, digits);
      const std::size_t length = array.name.size() - digits;
      const bool tuple = prefix.empty() || prefix.back() == '.' || prefix == "arr_";
      if (length < 1 || length > 9 || !tuple) continue;
      tuples[prefix].emplace(std::stoll(array.name.substr(digits)), &array);
    }
    for (const auto& [prefix, parts] : tuples) FindTuple(prefix, parts);
  }

  void FindTuple(const std::string& prefix, const std::map<std::int64_t, const ArrayInfo*>& parts) {
    const auto fit = [&](std::int64_t counts_at, std::int64_t columns_at) {
      const auto counts = parts.find(counts_at);
      const auto columns = parts.find(columns_at);
      if (counts == parts.end() || columns == parts.end()) return false;
      std::vector<std::int64_t> shape = columns->second->shape;
      if (shape.size() < 2) return false;
      shape.pop_back();
      const auto whole = [](ArrayType type) {
        return type == ArrayType::kI4 || type == ArrayType::kI8;
      };
      return counts->second->shape == shape && whole(counts->second->type) &&
             whole(columns->second->type);
    };
    const std::int64_t first = parts.begin()->first;
    const bool table = fit(first + 1, first);  // the table comes before its counts
    if (!table && !fit(first, first + 1)) return;
    MaskArrays mask{table ? MaskLayout::kLut : MaskLayout::kIndices, {}, "kv_indices"};
    mask.tuple = true;
    if (!prefix.empty()) mask.shown = WithoutSeparator(prefix);
    const auto add = [&](std::int64_t counts, std::int64_t columns) {
      mask.names.insert(mask.names.end(), {parts.at(counts)->name, parts.at(columns)->name});
    };
    add(table ? first + 1 : first, table ? first : first + 1);
    const bool full =
        !table && fit(first + 2, first + 3) && parts.at(first + 2)->shape == parts.at(first)->shape;
    if (full) add(first + 2, first + 3);
    mask.parts = mask.names.size();
    for (const auto& [at, array] : parts) used_.insert(array->name);
    masks_.push_back(std::move(mask));
  }

  /// Series of lists that differ only in numbers: "layers.0.lut" and "layers.0.counts",
  /// "layers.1.."
  void JoinLists() {
    std::map<std::string, std::vector<MaskArrays>> groups;  // by layout, parts and pattern
    for (MaskArrays& mask : masks_) {
      const bool lists = mask.layout == MaskLayout::kLut || mask.layout == MaskLayout::kIndices;
      std::string key =
          fmt::format("{} {} {} ", static_cast<int>(mask.layout), mask.by_columns, mask.parts);
      for (const std::string& name : mask.names) key += SplitNumbers(name).pattern + " ";
      groups[lists ? key : "other " + mask.shown].push_back(std::move(mask));
    }
    masks_.clear();
    for (auto& [key, group] : groups) {
      if (group.size() > 1 && JoinGrid(group)) {
        joined_.insert(joined_.end(), group.begin(), group.end());
        continue;
      }
      if (group.size() > 1) broken_ = SplitNumbers(group.front().shown).pattern;
      masks_.insert(masks_.end(), group.begin(), group.end());
    }
  }

  /// False if the numbers form no complete grid from 0, or the counts differ in shape.
  bool JoinGrid(const std::vector<MaskArrays>& group) {
    const auto shape = [&](const MaskArrays& mask) {
      return std::ranges::find(arrays_, mask.names.front(), &ArrayInfo::name)->shape;
    };
    std::map<std::vector<std::int64_t>, const MaskArrays*> members;
    for (const MaskArrays& mask : group) {
      const std::optional<std::vector<std::int64_t>> index = NumbersOf(mask.shown);
      if (!index || shape(mask) != shape(group.front())) return false;
      if (!members.emplace(*index, &mask).second) return false;
    }
    MaskArrays series = group.front();
    series.shown = SplitNumbers(series.shown).pattern;
    series.names.clear();
    series.grid = GridOf(members);
    if (series.grid.empty()) return false;
    for (const auto& [index, mask] : members) {
      series.names.insert(series.names.end(), mask->names.begin(), mask->names.end());
    }
    masks_.push_back(std::move(series));
    return true;
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
    std::map<std::vector<std::int64_t>, std::string> names;
    for (const ArrayInfo* array : group) {
      const std::optional<std::vector<std::int64_t>> index = NumbersOf(array->name);
      if (!index || array->shape != group.front()->shape || array->type != group.front()->type ||
          array->shape.size() < 2) {
        return false;
      }
      if (!names.emplace(*index, array->name).second) return false;  // as "m1" and "m01"
    }
    MaskArrays mask{MaskLayout::kDense, {}, pattern};
    mask.grid = GridOf(names);
    if (mask.grid.empty()) return false;
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
      if (known_.size() == 1) return {MaskLayout::kDense, {*known_.begin()}, ""};
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
  std::vector<MaskArrays> joined_;  ///< members of series, which a name still chooses
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
    case MaskLayout::kRagged:
      return "starts and counts in one list of columns (ragged)";
    case MaskLayout::kRanges:
      return "ranges of query and key tokens (MagiAttention)";
    case MaskLayout::kVariable:
      return "one element per block of variable size";
    case MaskLayout::kPacked:
      return "bits, eight blocks per byte";
  }
  DBSP_CHECK(false);
}

MaskArrays FindMaskArrays(const std::filesystem::path& path, const std::string& name) {
  return Finder(path).Choose(name);
}

}  // namespace dbsp
