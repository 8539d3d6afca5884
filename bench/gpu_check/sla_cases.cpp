// SPDX-License-Identifier: Apache-2.0
#include "bench/gpu_check/sla_cases.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <thread>

#include "bench/gpu_check/compare.h"
#include "core/bf16.h"
#include "core/error.h"
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

/// Corners that take tokens by the hundred or less; the cases that follow are drawn.
void MakeCorner(int corner, SlaCase& one) {
  switch (corner) {
    case 0:
      one.shape.q_tokens = one.shape.k_tokens = 1;
      break;
    case 1:  // Whole blocks.
      one.shape.q_tokens = one.q_block;
      one.shape.k_tokens = 3 * one.k_block;
      break;
    case 2:  // One more of each than whole blocks.
      one.shape.q_tokens = one.q_block + 1;
      one.shape.k_tokens = 2 * one.k_block + 1;
      break;
    default:
      break;
  }
}

/// Corners that take thousands of tokens.
void MakeLargeCorner(int corner, SlaCase& one) {
  one.shape.batch = one.shape.heads = 1;
  if (corner == 0) {  // 71 key blocks: mask rows of two words, the second one with a tail.
    one.shape.q_tokens = 150;
    one.shape.k_tokens = 70 * one.k_block + 5;
  } else if (corner == 1) {  // 131 query blocks: two thread blocks of the sums, 128 and 3.
    one.shape.q_tokens = 130 * one.q_block + 7;
    one.shape.k_tokens = 4 * one.k_block + 1;
  } else {  // 64 key blocks: one whole mask word.
    one.shape.q_tokens = 70;
    one.shape.k_tokens = 64 * one.k_block;
  }
}

}  // namespace

std::string SlaCase::Name() const {
  const char* const phi = features == FeatureMap::kSoftmax ? "softmax"
                          : features == FeatureMap::kElu   ? "elu"
                                                           : "relu";
  return fmt::format("sla.block{}x{}.d{}.{}", q_block, k_block, shape.head_dim, phi);
}

SlaCase SlaCaseOf(int index, std::uint64_t seed, bool small) {
  planner::Prng prng{seed, static_cast<std::uint64_t>(index), small ? 1ULL : 0ULL, 55};
  SlaCase one;
  one.seed = prng.Next() >> 8;
  // 8 and 3 share no factor: 24 cases in a row are all kernels with every phi.
  one.shape.head_dim = index % 2 == 0 ? 128 : 64;
  one.q_block = index / 2 % 2 == 0 ? 64 : 128;
  one.k_block = index / 4 % 2 == 0 ? 64 : 128;
  one.features = static_cast<FeatureMap>(index % 3);
  one.shape.batch = Between(prng, 1, 2);
  one.shape.heads = Between(prng, 1, small ? 1 : 3);
  one.shape.q_tokens = Between(prng, 1, small ? 200 : 700);
  // From three key blocks on the shares below leave at least one marginal.
  one.shape.k_tokens = Between(prng, 2 * one.k_block + 1, small ? 400 : 1500);
  one.shape.scale = 1.0F / std::sqrt(static_cast<float>(one.shape.head_dim));
  one.layout = static_cast<Layout>(prng.Below(3));
  one.shares.critical = 0.05 + 0.35 * prng.Uniform();
  one.shares.negligible = 0.3 * prng.Uniform();
  if (small) {
    MakeCorner(index, one);
  } else if (index < 3) {
    MakeLargeCorner(index, one);
  } else {
    MakeCorner(index - 3, one);
  }
  // A lone query block loses both classes; another pass keeps them.
  if (one.passes() == 1 && one.blocks().rows() == 1) one.shape.batch = 2;
  return one;
}

SlaMasks SlaMasksOf(const SlaCase& one, std::span<const SlaHead> heads) {
  DBSP_CHECK(static_cast<int>(heads.size()) == one.passes());
  const int dim = one.shape.head_dim;
  SlaMasks masks;
  masks.critical.q_blocks = one.blocks().rows();
  for (const SlaHead& head : heads) {
    masks.passes.push_back(
        kernels::ClassifyBlocks(kernels::MeanPool(head.q, one.shape.q_tokens, dim, one.q_block),
                                kernels::MeanPool(head.k, one.shape.k_tokens, dim, one.k_block),
                                dim,
                                one.shares));
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

std::vector<std::uint16_t> SlaProjectionOf(const SlaCase& one) {
  planner::Prng prng{one.seed, 56};
  const auto dim = static_cast<std::size_t>(one.shape.head_dim);
  std::vector<std::uint16_t> projection(dim * dim);
  for (std::uint16_t& value : projection) {
    value = ToBf16(static_cast<float>(prng.Uniform() - 0.5));
  }
  return projection;
}

std::vector<double> SlaReferenceOf(const SlaCase& one,
                                   std::span<const SlaHead> heads,
                                   std::span<const std::uint16_t> projection,
                                   const SlaMasks& masks,
                                   int threads) {
  std::vector<float> p;
  for (const std::uint16_t value : projection) p.push_back(FromBf16(value));
  const auto elements = static_cast<std::size_t>(one.shape.q_tokens) * one.shape.head_dim;
  std::vector<double> o(heads.size() * elements);
  const auto work = [&](std::size_t thread) {
    for (std::size_t pass = thread; pass < heads.size(); pass += threads) {
      const SlaHead& head = heads[pass];
      const std::vector<double> rows = kernels::SlaReference({.head_dim = one.shape.head_dim,
                                                              .q_tokens = one.shape.q_tokens,
                                                              .k_tokens = one.shape.k_tokens,
                                                              .q_block = one.q_block,
                                                              .k_block = one.k_block,
                                                              .scale = one.shape.scale,
                                                              .features = one.features,
                                                              .q = head.q,
                                                              .k = head.k,
                                                              .v = head.v,
                                                              .projection = p,
                                                              .blocks = &masks.passes[pass]});
      std::copy(rows.begin(), rows.end(), o.begin() + static_cast<std::ptrdiff_t>(pass * elements));
    }
  };
  std::vector<std::jthread> running;
  for (int thread = 0; thread < threads; ++thread) running.emplace_back(work, thread);
  running.clear();
  return o;
}

bool SlaVerdict::good() const {
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

const Variant& ExactVariantOf(const SlaCase& one,
                              std::span<const Variant* const> usable,
                              int index) {
  std::vector<const Variant*> fitting;
  for (const Variant* variant : usable) {
    if (variant->list == ListKind::kBlocks && variant->head_dim == one.shape.head_dim &&
        variant->q_block == one.q_block && variant->k_block == one.k_block) {
      fitting.push_back(variant);
    }
  }
  if (fitting.empty()) {
    Fail(ErrorCode::kNotFound,
         "{}: no block-sparse kernel of these blocks runs on this device; expected one for the "
         "exact part",
         one.Name());
  }
  return *fitting[static_cast<std::size_t>(index) % fitting.size()];
}

}  // namespace dbsp::gpu_check
