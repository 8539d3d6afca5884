// SPDX-License-Identifier: Apache-2.0
#include "kernels/gpu/gpu_variants.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/suggest.h"
#include "kernels/gpu/gather/gather_variants.h"
#include "kernels/gpu/sm80/sm80_variants.h"
#include "kernels/gpu/sm90/sm90_variants.h"

namespace dbsp::kernels::gpu {

namespace {

std::vector<std::string> NamesOf(std::span<const Variant> variants) {
  std::vector<std::string> names;
  for (const Variant& variant : variants) names.emplace_back(variant.name);
  return names;
}

std::string Joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

bool Contains(const std::vector<std::string>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

}  // namespace

std::span<const Variant> AllVariants() {
  static const std::vector<Variant> all = [] {
    std::vector<Variant> gathered;
    for (const std::span<const Variant> family :
         {sm90::Variants(), gather::Variants(), sm80::Variants()}) {
      gathered.insert(gathered.end(), family.begin(), family.end());
    }
    return gathered;
  }();
  return all;
}

std::span<const Variant> Variants() {
  static const std::vector<Variant> used = [] {
    const std::vector<std::string> skipped = SkippedKernels();
    std::vector<Variant> kept;
    for (const Variant& variant : AllVariants()) {
      if (!Contains(skipped, variant.name)) kept.push_back(variant);
    }
    return kept;
  }();
  return used;
}

std::vector<std::string> SkippedKernels() {
  const char* set = std::getenv(kSkipKernelsVariable);
  std::vector<std::string> skipped;
  if (set == nullptr) return skipped;
  const std::vector<std::string> known = NamesOf(AllVariants());
  std::string_view rest(set);
  while (!rest.empty()) {
    const std::string name(rest.substr(0, rest.find(',')));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    if (name.empty() || Contains(skipped, name)) continue;
    if (!Contains(known, name)) {
      Fail(ErrorCode::kInvalidArgument,
           "{}: {}",
           kSkipKernelsVariable,
           UnknownName("kernel", name, known));
    }
    skipped.push_back(name);
  }
  return skipped;
}

std::string SkippedKernelsNote() {
  const std::string names = Joined(SkippedKernels());
  if (names.empty()) return "";
  return fmt::format("note: {} leaves out these kernels: {}", kSkipKernelsVariable, names);
}

const Variant& VariantNamed(std::string_view name) {
  for (const Variant& variant : Variants()) {
    if (variant.name == name) return variant;
  }
  if (Contains(SkippedKernels(), name)) {
    Fail(ErrorCode::kUnavailable,
         "{} leaves out the kernel {}; choose another one, or take it off the variable",
         kSkipKernelsVariable,
         name);
  }
  Fail(ErrorCode::kNotFound,
       "no GPU kernel is called '{}'; known: {}",
       name,
       Joined(NamesOf(Variants())));
}

void LaunchUnavailable(const AttentionCall&) {
  Fail(ErrorCode::kUnavailable,
       "this build has no GPU kernels; build with DBSP_ENABLE_CUDA=ON on a machine with nvcc");
}

}  // namespace dbsp::kernels::gpu
