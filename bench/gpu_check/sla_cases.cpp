// SPDX-License-Identifier: Apache-2.0
#include "bench/gpu_check/sla_cases.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "bench/gpu_check/compare.h"
#include "core/bf16.h"
#include "core/error.h"
#include "core/parallel_for.h"
#include "planner/workload/rules/prng.h"

namespace dbsp::gpu_check {
namespace {

using kernels::FeatureMap;
using kernels::SlaBlocks;
using kernels::gpu::ListKind;
using kernels::gpu::Variant;

int Between(planner::Prng& prng, int low, int high) {
  return low + static_cast<int>(prng.Below(static_cast<std::uint64_t>(high - low + 1)));
}

/// Sets the shape of corner 0, 1 or 2, which has few tokens. Other numbers change nothing.
void MakeCorner(int corner, SlaCase& sla_case) {
  switch (corner) {
    case 0:
      sla_case.shape.q_tokens = sla_case.shape.k_tokens = 1;
      break;
    case 1:  // Whole blocks only.
      sla_case.shape.q_tokens = sla_case.q_block;
      sla_case.shape.k_tokens = 3 * sla_case.k_block;
      break;
    case 2:  // Whole blocks, one more query and one more key.
      sla_case.shape.q_tokens = sla_case.q_block + 1;
      sla_case.shape.k_tokens = 2 * sla_case.k_block + 1;
      break;
    default:
      break;
  }
}

/// Sets the shape of corner 0, 1 or 2, of thousands of tokens.
void MakeLargeCorner(int corner, SlaCase& sla_case) {
  sla_case.shape.batch = sla_case.shape.heads = 1;
  if (corner == 0) {  // 71 key blocks: mask rows have two words, the second one is partly used.
    sla_case.shape.q_tokens = 150;
    sla_case.shape.k_tokens = 70 * sla_case.k_block + 5;
  } else if (corner == 1) {  // 131 query blocks: two thread blocks sum 128 and 3 of them.
    sla_case.shape.q_tokens = 130 * sla_case.q_block + 7;
    sla_case.shape.k_tokens = 4 * sla_case.k_block + 1;
  } else {  // 64 key blocks: mask rows have exactly one word.
    sla_case.shape.q_tokens = 70;
    sla_case.shape.k_tokens = 64 * sla_case.k_block;
  }
}

}  // namespace

std::string SlaCase::Name() const {
  const char* const map = features == FeatureMap::kSoftmax ? "softmax"
                          : features == FeatureMap::kElu   ? "elu"
                                                           : "relu";
  return fmt::format("sla.block{}x{}.d{}.{}", q_block, k_block, shape.head_dim, map);
}

SlaCase SlaCaseOf(int index, std::uint64_t seed, bool small) {
  planner::Prng prng{seed, static_cast<std::uint64_t>(index), small ? 1ULL : 0ULL, 55};
  SlaCase sla_case;
  sla_case.seed = prng.Next() >> 8;
  // 8 and 3 have no common factor, so 24 cases combine every kernel with every feature map.
  sla_case.shape.head_dim = index % 2 == 0 ? 128 : 64;
  sla_case.q_block = index / 2 % 2 == 0 ? 64 : 128;
  sla_case.k_block = index / 4 % 2 == 0 ? 64 : 128;
  sla_case.features = static_cast<FeatureMap>(index % 3);
  sla_case.shape.batch = Between(prng, 1, 2);
  sla_case.shape.heads = Between(prng, 1, small ? 1 : 3);
  sla_case.shape.q_tokens = Between(prng, 1, small ? 200 : 700);
  // With three or more key blocks the shares below leave at least one marginal block.
  sla_case.shape.k_tokens = Between(prng, 2 * sla_case.k_block + 1, small ? 400 : 1500);
  sla_case.shape.scale = 1.0F / std::sqrt(static_cast<float>(sla_case.shape.head_dim));
  sla_case.layout = static_cast<Layout>(prng.Below(3));
  sla_case.shares.critical = 0.05 + 0.35 * prng.Uniform();
  sla_case.shares.negligible = 0.3 * prng.Uniform();
  if (small) {
    MakeCorner(index, sla_case);
  } else if (index < 3) {
    MakeLargeCorner(index, sla_case);
  } else {
    MakeCorner(index - 3, sla_case);
  }
  // SlaMasksOf removes both classes where a pass has one query block; a second pass keeps them.
  if (sla_case.passes() == 1 && sla_case.blocks().rows() == 1) sla_case.shape.batch = 2;
  return sla_case;
}

SlaMasks SlaMasksOf(const SlaCase& sla_case, std::span<const SlaHead> heads) {
  DBSP_CHECK(static_cast<int>(heads.size()) == sla_case.passes());
  const int dim = sla_case.shape.head_dim;
  SlaMasks masks;
  masks.critical.q_blocks = sla_case.blocks().rows();
  for (const SlaHead& head : heads) {
    masks.passes.push_back(kernels::ClassifyBlocks(
        kernels::MeanPool(head.q, sla_case.shape.q_tokens, dim, sla_case.q_block),
        kernels::MeanPool(head.k, sla_case.shape.k_tokens, dim, sla_case.k_block),
        dim,
        sla_case.shares));
    SlaBlocks& blocks = masks.passes.back();
    if (masks.passes.size() == 1) {
      for (int j = 0; j < blocks.marginal.cols(); ++j) blocks.marginal.Set(0, j, false);
      const int last = blocks.critical.rows() - 1;
      for (int j = 0; j < blocks.critical.cols(); ++j) blocks.critical.Set(last, j, false);
    }
    for (int i = 0; i < blocks.critical.rows(); ++i) {
      blocks.critical.AppendRow(i, masks.critical.list);
      masks.critical.begin.push_back(static_cast<std::int32_t>(masks.critical.list.size()));
    }
    const auto words = blocks.marginal.words();
    masks.marginal.insert(masks.marginal.end(), words.begin(), words.end());
  }
  return masks;
}

std::vector<std::uint16_t> SlaProjectionOf(const SlaCase& sla_case) {
  planner::Prng prng{sla_case.seed, 56};
  const auto dim = static_cast<std::size_t>(sla_case.shape.head_dim);
  std::vector<std::uint16_t> projection(dim * dim);
  for (std::uint16_t& value : projection) {
    value = ToBf16(static_cast<float>(prng.Uniform() - 0.5));
  }
  return projection;
}

std::vector<double> SlaReferenceOf(const SlaCase& sla_case,
                                   std::span<const SlaHead> heads,
                                   std::span<const std::uint16_t> projection,
                                   const SlaMasks& masks,
                                   int threads) {
  std::vector<float> p;
  for (const std::uint16_t value : projection) p.push_back(FromBf16(value));
  const auto elements = static_cast<std::size_t>(sla_case.shape.q_tokens) * sla_case.shape.head_dim;
  std::vector<double> o(heads.size() * elements);
  const auto work = [&](std::size_t thread) {
    for (std::size_t pass = thread; pass < heads.size(); pass += threads) {
      const SlaHead& head = heads[pass];
      const std::vector<double> rows = kernels::SlaReference({.head_dim = sla_case.shape.head_dim,
                                                              .q_tokens = sla_case.shape.q_tokens,
                                                              .k_tokens = sla_case.shape.k_tokens,
                                                              .q_block = sla_case.q_block,
                                                              .k_block = sla_case.k_block,
                                                              .scale = sla_case.shape.scale,
                                                              .features = sla_case.features,
                                                              .q = head.q,
                                                              .k = head.k,
                                                              .v = head.v,
                                                              .projection = p,
                                                              .blocks = &masks.passes[pass]});
      std::copy(rows.begin(), rows.end(), o.begin() + static_cast<std::ptrdiff_t>(pass * elements));
    }
  };
  ParallelFor(threads, threads, work);
  return o;
}

bool SlaVerdict::IsRight() const {
  return relative_error <= kMaxRelativeError && wrong_zero_rows == 0;
}

SlaVerdict CompareSla(std::span<const std::uint16_t> o,
                      std::span<const double> reference,
                      int head_dim) {
  DBSP_CHECK(o.size() == reference.size());
  const auto dim = static_cast<std::size_t>(head_dim);
  SlaVerdict verdict;
  double error = 0.0;
  double norm = 0.0;
  for (std::size_t row = 0; row < o.size(); row += dim) {
    bool zero = true;
    bool expected_zero = true;
    for (std::size_t i = row; i < row + dim; ++i) {
      const double value = FromBf16(o[i]);
      zero = zero && value == 0.0;
      expected_zero = expected_zero && reference[i] == 0.0;
      error += (value - reference[i]) * (value - reference[i]);
      norm += reference[i] * reference[i];
    }
    verdict.wrong_zero_rows += expected_zero && !zero ? 1 : 0;
  }
  verdict.relative_error = std::sqrt(error / (norm > 0.0 ? norm : 1.0));
  if (std::isnan(verdict.relative_error)) {
    verdict.relative_error = std::numeric_limits<double>::infinity();
  }
  return verdict;
}

std::vector<const Variant*> ExactVariants(const SlaCase& sla_case,
                                          std::span<const Variant* const> usable) {
  std::vector<const Variant*> fitting;
  for (const Variant* variant : usable) {
    if (variant->list == ListKind::kBlocks && variant->head_dim == sla_case.shape.head_dim &&
        variant->q_block == sla_case.q_block && variant->k_block == sla_case.k_block) {
      fitting.push_back(variant);
    }
  }
  return fitting;
}

const Variant& ExactVariantOf(const SlaCase& sla_case,
                              std::span<const Variant* const> usable,
                              int index) {
  const std::vector<const Variant*> fitting = ExactVariants(sla_case, usable);
  if (fitting.empty()) {
    Fail(ErrorCode::kNotFound,
         "{}: no block-sparse kernel with these block sizes runs on this device; the exact part "
         "needs one",
         sla_case.Name());
  }
  return *fitting[static_cast<std::size_t>(index) % fitting.size()];
}

}  // namespace dbsp::gpu_check
