// SPDX-License-Identifier: Apache-2.0
// Host versions of the inputs and of the fp64 reference that gpu_check computes on its device. The
// emulated gpu_check therefore does not test bench/gpu_check/device_data.cu.
#include <cmath>
#include <random>
#include <vector>

#include "bench/gpu_check/device_data.h"
#include "core/bf16.h"
#include "tests/emulated_gpu/emulated_runtime.h"

namespace dbsp::gpu_check {
namespace {

using emulated_gpu::EmulatedRuntime;
using kernels::gpu::AttentionCall;
using kernels::gpu::TensorView;

std::uint16_t* RowOf(const TensorView& view, std::int64_t row, int heads, int tokens) {
  const std::int64_t plane = row / tokens;
  return static_cast<std::uint16_t*>(view.data) + plane / heads * view.batch_stride +
         plane % heads * view.head_stride + row % tokens * view.token_stride;
}

void AttendRow(
    const AttentionCall& call, int q_block, int k_block, std::int64_t row, double* o, double* lse) {
  const int dim = call.shape.head_dim;
  const std::int64_t plane = row / call.shape.q_tokens;
  const std::int64_t token = row % call.shape.q_tokens;
  const std::int64_t q_blocks = (call.shape.q_tokens + q_block - 1) / q_block;
  const std::int64_t tile = plane * q_blocks + token / q_block;
  const std::uint16_t* q = RowOf(call.q, row, call.shape.heads, call.shape.q_tokens);
  std::vector<std::int64_t> keys;
  std::vector<double> scores;
  for (int i = call.begin[tile]; i < call.begin[tile + 1]; ++i) {
    for (int j = 0; j < k_block; ++j) {
      const std::int64_t key = std::int64_t{call.list[i]} * k_block + j;
      if (key >= call.shape.k_tokens) break;
      keys.push_back(plane * call.shape.k_tokens + key);
      const auto* k = RowOf(call.k, keys.back(), call.shape.heads, call.shape.k_tokens);
      double score = 0.0;
      for (int d = 0; d < dim; ++d) score += double{FromBf16(q[d])} * double{FromBf16(k[d])};
      scores.push_back(score * double{call.shape.scale});
    }
  }
  double highest = -INFINITY;
  for (const double score : scores) highest = std::max(highest, score);
  double sum = 0.0;
  for (const double score : scores) sum += std::exp(score - highest);
  std::fill_n(o, dim, 0.0);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const auto* v = RowOf(call.v, keys[i], call.shape.heads, call.shape.k_tokens);
    const double weight = std::exp(scores[i] - highest) / sum;
    for (int d = 0; d < dim; ++d) o[d] += weight * double{FromBf16(v[d])};
  }
  *lse = keys.empty() ? -INFINITY : highest + std::log(sum);
}

}  // namespace

void FillNormal(const TensorView& view,
                int batch,
                int heads,
                int tokens,
                int head_dim,
                std::uint64_t seed,
                void* stream) {
  EmulatedRuntime::Get().Enqueue(stream,
                                 {.start =
                                      [=] {
                                        std::mt19937_64 random(seed);
                                        std::normal_distribution<float> normal;
                                        const std::int64_t rows =
                                            std::int64_t{batch} * heads * tokens;
                                        for (std::int64_t row = 0; row < rows; ++row) {
                                          std::uint16_t* to = RowOf(view, row, heads, tokens);
                                          for (int d = 0; d < head_dim; ++d)
                                            to[d] = ToBf16(normal(random));
                                        }
                                      },
                                  .done = nullptr});
}

void ReferenceOnDevice(const AttentionCall& call,
                       int q_block,
                       int k_block,
                       const std::int64_t* rows,
                       std::int64_t row_count,
                       double* o,
                       double* lse,
                       void* stream) {
  EmulatedRuntime::Get().Enqueue(
      stream,
      {.start =
           [=] {
             for (std::int64_t i = 0; i < row_count; ++i) {
               AttendRow(call, q_block, k_block, rows[i], o + i * call.shape.head_dim, lse + i);
             }
           },
       .done = nullptr});
}

}  // namespace dbsp::gpu_check
