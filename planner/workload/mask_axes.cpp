// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/mask_axes.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "core/error.h"

namespace dbsp {
namespace {

/// Axes that can come before the heads, in the order in which a single dimension of size 1 or a row
/// of them is named.
constexpr std::string_view kOuter = "TLPB";

const char* NameOfAxis(char letter) {
  switch (letter) {
    case 'T':
      return "entries over the steps";
    case 'L':
      return "layers";
    case 'P':
      return "passes";
    case 'B':
      return "batch";
    default:
      return "heads";
  }
}

std::int64_t SizeIn(const MaskArraySizes& sizes, char letter) {
  switch (letter) {
    case 'T':
      return sizes.steps;
    case 'L':
      return sizes.layers;
    case 'P':
      return sizes.passes;
    default:
      return sizes.heads;
  }
}

/// Refuses letters that name no order of axes, and sizes that are not the workload's.
MaskAxes Named(std::span<const std::int64_t> leading,
               const AxesRequest& request,
               const MaskArraySizes& sizes,
               const std::string& subject) {
  std::string letters = *request.letters;
  for (char& c : letters) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  const std::set<char> distinct(letters.begin(), letters.end());
  const bool legal = letters.size() >= 2 && letters.ends_with("QK") &&
                     distinct.size() == letters.size() &&
                     letters.find_first_not_of("TLPBHQK") == std::string::npos;
  if (!legal) {
    Fail(ErrorCode::kInvalidArgument,
         "mask rule 'array': option axes: expected different letters of T L P B H and then QK, as "
         "TLHQK, found '{}' (transpose an array whose last two axes are K and Q)",
         *request.letters);
  }
  if (letters.size() != leading.size() + 2) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: option axes={} names {} dimensions, the array has {}",
         subject,
         letters,
         letters.size(),
         leading.size() + 2);
  }
  for (std::size_t i = 0; i < leading.size(); ++i) {
    const char letter = letters[i];
    const bool fits = leading[i] >= 1 && (letter == 'T' || letter == 'B' || leading[i] == 1 ||
                                          leading[i] == SizeIn(sizes, letter) ||
                                          (letter == 'P' && request.pass.has_value()));
    if (fits) continue;
    if (letter == 'P' && leading[i] > 1) {
      Fail(ErrorCode::kMismatch,
           "{}: axis P has {} passes, the model has {}; choose one with pass=N, or set --passes",
           subject,
           leading[i],
           sizes.passes);
    }
    Fail(ErrorCode::kMismatch,
         "{}: axis {} ({}) has size {}, expected {} or 1; check axes={} and --heads, --layers",
         subject,
         letter,
         NameOfAxis(letter),
         leading[i],
         SizeIn(sizes, letter),
         letters);
  }
  return {letters, {leading.begin(), leading.end()}};
}

/// Finds the readings that the sizes allow.
class Readings {
 public:
  Readings(std::span<const std::int64_t> leading,
           const AxesRequest& request,
           const MaskArraySizes& sizes)
      : leading_(leading), request_(request), sizes_(sizes), letters_(leading.size(), '?') {}

  /// Distinct letters, with dimensions of size 1 named too. Heads come last if their size fits, as
  /// in every layout that is documented.
  std::vector<std::string> Find() {
    if (leading_.empty()) return {""};
    if (leading_.size() > kOuter.size() + 1) return {};
    const std::int64_t last = leading_.back();
    if (last == sizes_.heads || (last == 1 && leading_.size() > 1)) {
      letters_.back() = 'H';
      Assign(0, leading_.size() - 1);
    } else if (leading_.size() == 1) {
      Assign(0, 1);  // no heads: all heads share the mask
    }
    return std::move(found_);
  }

 private:
  /// Whether axis `letter` is possible for dimension `at`, which is larger than 1.
  [[nodiscard]] bool Fits(std::size_t at, char letter) const {
    const std::int64_t size = leading_[at];
    switch (letter) {
      case 'T':
        // PAROAttention's [T, L, H, Q, K] has few entries for many steps (Finish requires the L).
        return size == sizes_.steps ||
               (at == 0 && size >= 1 && size <= sizes_.steps && leading_.size() > 2);
      case 'L':
        return size == sizes_.layers;
      case 'P':
        return size == sizes_.passes || request_.pass.has_value();
      default:
        return request_.batch.has_value();
    }
  }
  [[nodiscard]] bool Used(char letter) const { return letters_.find(letter) != std::string::npos; }

  void Assign(std::size_t at, std::size_t count) {
    if (at == count) {
      Finish(count);
      return;
    }
    if (leading_[at] == 1) {
      Assign(at + 1, count);
      return;
    }
    for (const char letter : kOuter) {
      if (Used(letter) || !Fits(at, letter)) continue;
      letters_[at] = letter;
      Assign(at + 1, count);
      letters_[at] = '?';
    }
  }

  /// Names dimensions of size 1 and keeps the reading if it has what the user asked for.
  void Finish(std::size_t count) {
    const std::string before = letters_;
    for (std::size_t i = 0; i < count; ++i) {
      if (letters_[i] != '?') continue;
      const std::string_view order = count == 1 ? "BTLP" : kOuter;
      letters_[i] = *std::ranges::find_if(order, [&](char c) { return !Used(c); });
    }
    // A short T needs its layers beside it.
    const bool few_entries = letters_[0] == 'T' && leading_[0] > 1 && leading_[0] != sizes_.steps;
    const bool good = (!request_.batch || Used('B')) && (!request_.pass || Used('P')) &&
                      (!few_entries || letters_[1] == 'L');
    if (good) found_.push_back(letters_);
    letters_ = before;
  }

  std::span<const std::int64_t> leading_;
  const AxesRequest& request_;
  const MaskArraySizes& sizes_;
  std::string letters_;
  std::vector<std::string> found_;
};

/// Where all readings name the same axes, keeps the one in the order of the documented layouts.
void KeepUsualOrder(std::span<const std::int64_t> leading, std::vector<std::string>& found) {
  const auto large = [&](const std::string& letters) {
    std::string named;
    for (std::size_t i = 0; i < leading.size(); ++i) {
      if (leading[i] != 1) named += letters[i];
    }
    return named;
  };
  const auto sorted = [](std::string letters) {
    std::ranges::sort(letters, {}, [](char c) { return kOuter.find(c); });
    return letters;
  };
  std::set<std::string> axes;
  for (const std::string& letters : found) axes.insert(sorted(large(letters)));
  const auto usual = [&](const std::string& letters) { return large(letters) == *axes.begin(); };
  if (axes.size() != 1 || std::ranges::none_of(found, usual)) return;
  std::erase_if(found, [&](const std::string& letters) { return !usual(letters); });
}

/// Letters that a user may have meant where sizes decide nothing.
std::string Examples(std::size_t dimensions) {
  switch (dimensions) {
    case 1:
      return "axes=HQK, LQK or TQK";
    case 2:
      return "axes=LHQK (layers), THQK (entries over the steps), PHQK (passes) or BHQK (batch, "
             "with "
             "batch=N)";
    case 3:
      return "axes=TLHQK, PLHQK, TPHQK, LPHQK or BLHQK";
    default:
      return "axes=TLPHQK or another order of T L P B H";
  }
}

}  // namespace

std::int64_t MaskAxes::Size(char letter) const {
  const std::size_t at = letters.find(letter);
  return at == std::string::npos || at >= sizes.size() ? 1 : sizes[at];
}

MaskAxes ResolveAxes(std::span<const std::int64_t> leading,
                     const AxesRequest& request,
                     const MaskArraySizes& sizes,
                     const std::string& subject) {
  if (request.letters) return Named(leading, request, sizes, subject);
  std::vector<std::string> found = Readings(leading, request, sizes).Find();
  if (found.size() > 1) KeepUsualOrder(leading, found);
  if (found.size() == 1) {
    return {found.front() + "QK", {leading.begin(), leading.end()}};
  }
  if (found.empty()) {
    Fail(ErrorCode::kMismatch,
         "{}: the dimensions before [{}, {}] do not follow from {} heads, {} layers, {} steps and "
         "{} passes; correct --heads, --layers, --steps, --passes, or name them, for example {}",
         subject,
         sizes.rows,
         sizes.cols,
         sizes.heads,
         sizes.layers,
         sizes.steps,
         sizes.passes,
         Examples(leading.size()));
  }
  for (std::string& letters : found) letters = fmt::format("axes={}QK", letters);
  Fail(ErrorCode::kInvalidArgument,
       "{}: several readings are possible; choose one of {}",
       subject,
       fmt::join(found, ", "));
}

std::vector<std::string> DescribeAxes(const MaskAxes& axes, const MaskArraySizes& sizes) {
  std::vector<std::string> lines;
  std::string text = fmt::format("axes {}:", axes.letters);
  for (std::size_t i = 0; i < axes.sizes.size(); ++i) {
    text += fmt::format(" {} = {},", axes.letters[i], axes.sizes[i]);
  }
  lines.push_back(fmt::format("{} Q = {}, K = {}", text, sizes.rows, sizes.cols));
  const std::int64_t times = axes.Size('T');
  if (times > 1) {
    std::vector<std::int64_t> used(static_cast<std::size_t>(sizes.steps));
    for (int s = 0; s < sizes.steps; ++s) {
      used[static_cast<std::size_t>(s)] = TimeOfStep(s, sizes.steps, times);
    }
    used.erase(std::unique(used.begin(), used.end()), used.end());
    const std::int64_t unused = times - static_cast<std::int64_t>(used.size());
    lines.push_back(
        fmt::format("{} entries over {} steps: step s uses entry floor({} s / {}){}",
                    times,
                    sizes.steps,
                    times,
                    sizes.steps,
                    unused > 0 ? fmt::format("; {} entries are not used", unused) : ""));
  }
  const auto shared = [&](char letter, int size, const char* all) {
    if (axes.Size(letter) == 1 && size > 1)
      lines.push_back(fmt::format("one mask for all {}", all));
  };
  shared('H', sizes.heads, "heads");
  shared('L', sizes.layers, "layers");
  shared('P', sizes.passes, "passes");
  if (times == 1 && sizes.steps > 1) lines.emplace_back("one mask for all steps");
  if (axes.letters == "HQK" && sizes.layers == sizes.heads && sizes.layers > 1) {
    lines.emplace_back("the first dimension is taken as heads; axes=LQK takes it as layers");
  }
  return lines;
}

std::int64_t TimeOfStep(int step, int steps, std::int64_t times) {
  // The quotient and the remainder are taken apart so that no product overflows.
  const std::int64_t whole = times / steps;
  const std::int64_t rest = times % steps;
  return whole * step + rest * step / steps;
}

}  // namespace dbsp
