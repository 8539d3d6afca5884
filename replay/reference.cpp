// SPDX-License-Identifier: Apache-2.0
#include "replay/reference.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace dbsp::replay {
namespace {

std::vector<double> WholeTensor(const AttentionShape& shape,
                                const InputKey& key,
                                planner::Tensor tensor,
                                int head) {
  const auto dim = static_cast<std::size_t>(shape.head_dim);
  std::vector<float> row(dim);
  std::vector<double> whole(static_cast<std::size_t>(shape.tokens) * dim);
  for (std::int64_t token = 0; token < shape.tokens; ++token) {
    FillRow(key, tensor, head, token, row);
    std::copy(row.begin(), row.end(), whole.begin() + token * shape.head_dim);
  }
  return whole;
}

double Dot(const double* a, const double* b, int n) {
  double sum = 0;
  for (int i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace

HeadReference::HeadReference(const AttentionShape& shape,
                             const BlockMask& mask,
                             const InputKey& key,
                             int head)
    : shape_(shape),
      mask_(&mask),
      key_(key),
      head_(head),
      k_(WholeTensor(shape, key, planner::Tensor::kK, head)),
      v_(WholeTensor(shape, key, planner::Tensor::kV, head)) {}

double HeadReference::Row(std::int64_t token,
                          std::span<double> out,
                          std::vector<double>& scratch) const {
  const int dim = shape_.head_dim;
  std::fill(out.begin(), out.end(), 0.0);
  std::vector<int> columns;
  mask_->AppendRow(static_cast<int>(token / shape_.block.q), columns);
  if (columns.empty()) return -std::numeric_limits<double>::infinity();

  std::vector<float> query(dim);
  FillRow(key_, planner::Tensor::kQ, head_, token, query);
  const std::vector<double> q(query.begin(), query.end());
  const double scale = 1.0 / std::sqrt(static_cast<double>(dim));

  scratch.clear();
  for (const int column : columns) {
    const std::int64_t first = static_cast<std::int64_t>(column) * shape_.block.k;
    for (std::int64_t key = first; key < first + shape_.k_tokens(column); ++key) {
      scratch.push_back(scale * Dot(q.data(), k_.data() + key * dim, dim));
    }
  }
  const double top = *std::max_element(scratch.begin(), scratch.end());
  double sum = 0;
  for (double& score : scratch) sum += score = std::exp(score - top);

  std::size_t next = 0;
  for (const int column : columns) {
    const std::int64_t first = static_cast<std::int64_t>(column) * shape_.block.k;
    for (std::int64_t key = first; key < first + shape_.k_tokens(column); ++key) {
      const double weight = scratch[next++] / sum;
      const double* v = v_.data() + key * dim;
      for (int i = 0; i < dim; ++i) out[i] += weight * v[i];
    }
  }
  return top + std::log(sum);
}

std::int64_t ReferenceRowWork(const AttentionShape& shape, const BlockMask& mask, int q_block) {
  std::int64_t keys = static_cast<std::int64_t>(mask.RowCount(q_block)) * shape.block.k;
  const int last = shape.k_blocks() - 1;
  if (last >= 0 && mask.Get(q_block, last)) keys += shape.k_tokens(last) - shape.block.k;
  return 2 * keys * shape.head_dim;
}

}  // namespace dbsp::replay
