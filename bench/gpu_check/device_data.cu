// SPDX-License-Identifier: Apache-2.0
#include <cuda_bf16.h>

#include "bench/gpu_check/device_data.h"
#include "kernels/gpu/launch.h"

namespace dbsp::gpu_check {
namespace {

using kernels::gpu::AttentionCall;
using kernels::gpu::TensorView;

constexpr int kThreads = 128;

/// SplitMix64's finaliser (Steele, Lea, Flood 2014).
__device__ std::uint64_t Mixed(std::uint64_t z) {
  z += 0x9E3779B97F4A7C15ULL;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

struct RowLocation {
  int batch;
  int head;
  int token;
};
__device__ RowLocation LocateRow(std::int64_t row, int heads, int tokens) {
  const std::int64_t plane = row / tokens;
  return {static_cast<int>(plane / heads),
          static_cast<int>(plane % heads),
          static_cast<int>(row % tokens)};
}
__device__ __nv_bfloat16* RowOf(const TensorView& view, const RowLocation& place) {
  return static_cast<__nv_bfloat16*>(view.data) + place.batch * view.batch_stride +
         place.head * view.head_stride + place.token * view.token_stride;
}

__global__ void WriteNormals(
    TensorView view, int heads, int tokens, int head_dim, std::int64_t rows, std::uint64_t seed) {
  const int per_block = kThreads / (head_dim / 2);
  const std::int64_t row =
      static_cast<std::int64_t>(blockIdx.x) * per_block + threadIdx.x / (head_dim / 2);
  if (row >= rows) return;
  const int pair = static_cast<int>(threadIdx.x) % (head_dim / 2);
  const std::uint64_t bits = Mixed(seed ^ Mixed(static_cast<std::uint64_t>(row) * 64 + pair));
  // Box-Muller transform; u lies in (0, 1], because the logarithm of 0 is infinite.
  const float u = (static_cast<float>(bits >> 40) + 1.0F) * 0x1.0p-24F;
  const float v = static_cast<float>((bits >> 8) & 0xFFFFFFU) * 0x1.0p-24F;
  const float radius = sqrtf(-2.0F * logf(u));
  float sine = 0.0F;
  float cosine = 0.0F;
  sincospif(2.0F * v, &sine, &cosine);
  __nv_bfloat16* to = RowOf(view, LocateRow(row, heads, tokens)) + 2 * pair;
  to[0] = __float2bfloat16(radius * cosine);
  to[1] = __float2bfloat16(radius * sine);
}

/// The keys of one tile. Key i is key i % k_block of the list entry i / k_block.
struct TileKeys {
  const std::int32_t* list;
  std::int64_t entries;
  int k_block;
  int k_tokens;
  [[nodiscard]] __device__ std::int64_t count() const { return entries * k_block; }
  /// Token of the i-th key, -1 beyond the last token.
  [[nodiscard]] __device__ int At(std::int64_t i) const {
    const std::int64_t key = static_cast<std::int64_t>(list[i / k_block]) * k_block + i % k_block;
    return key < k_tokens ? static_cast<int>(key) : -1;
  }
};

__device__ double Score(const double* q, const __nv_bfloat16* k, int head_dim, double scale) {
  double score = 0.0;
  for (int d = 0; d < head_dim; ++d) score += q[d] * static_cast<double>(__bfloat162float(k[d]));
  return scale * score;
}

/// Combines the values of all threads of the block with `op`. Every thread gets the result.
template <class Op>
__device__ double ReduceBlock(double value, double* shared, Op op) {
  __syncthreads();
  shared[threadIdx.x] = value;
  __syncthreads();
  double all = shared[0];
  for (int i = 1; i < kThreads; ++i) all = op(all, shared[i]);
  return all;
}

/// Attention of one query row per thread block, in three passes over the keys: the largest score,
/// the sum of exponentials, and the output.
__global__ void AttendRow(AttentionCall call,
                          int q_block,
                          int k_block,
                          const std::int64_t* rows,
                          double* o,
                          double* lse) {
  __shared__ double q[128];
  __shared__ double shared[kThreads];
  __shared__ int keys_of_step[kThreads];
  const int dim = call.shape.head_dim;
  const auto thread = static_cast<int>(threadIdx.x);
  const RowLocation place = LocateRow(rows[blockIdx.x], call.shape.heads, call.shape.q_tokens);
  if (thread < dim) q[thread] = static_cast<double>(__bfloat162float(RowOf(call.q, place)[thread]));
  const std::int64_t q_blocks = (call.shape.q_tokens + q_block - 1) / q_block;
  const std::int64_t tile =
      (static_cast<std::int64_t>(place.batch) * call.shape.heads + place.head) * q_blocks +
      place.token / q_block;
  const TileKeys keys{call.list + call.begin[tile],
                      call.begin[tile + 1] - call.begin[tile],
                      k_block,
                      call.shape.k_tokens};
  const double scale = static_cast<double>(call.shape.scale);
  const auto key_row = [&](const TensorView& view, int key) {
    return RowOf(view, {place.batch, place.head, key});
  };
  __syncthreads();
  double highest = -INFINITY;
  for (std::int64_t i = thread; i < keys.count(); i += kThreads) {
    const int key = keys.At(i);
    if (key >= 0) highest = fmax(highest, Score(q, key_row(call.k, key), dim, scale));
  }
  highest = ReduceBlock(highest, shared, [](double a, double b) { return fmax(a, b); });
  double sum = 0.0;
  for (std::int64_t i = thread; i < keys.count(); i += kThreads) {
    const int key = keys.At(i);
    if (key >= 0) sum += exp(Score(q, key_row(call.k, key), dim, scale) - highest);
  }
  sum = ReduceBlock(sum, shared, [](double a, double b) { return a + b; });
  double out = 0.0;
  for (std::int64_t first = 0; first < keys.count(); first += kThreads) {
    const std::int64_t i = first + thread;
    const int key = i < keys.count() ? keys.At(i) : -1;
    __syncthreads();
    keys_of_step[thread] = key;
    shared[thread] =
        key < 0 ? 0.0 : exp(Score(q, key_row(call.k, key), dim, scale) - highest) / sum;
    __syncthreads();
    for (int j = 0; j < kThreads && thread < dim; ++j) {
      if (keys_of_step[j] < 0) continue;
      out += shared[j] *
             static_cast<double>(__bfloat162float(key_row(call.v, keys_of_step[j])[thread]));
    }
  }
  if (thread < dim) o[static_cast<std::int64_t>(blockIdx.x) * dim + thread] = out;
  if (thread == 0) lse[blockIdx.x] = sum > 0.0 ? highest + log(sum) : -INFINITY;
}

}  // namespace

void FillNormal(const TensorView& view,
                int batch,
                int heads,
                int tokens,
                int head_dim,
                std::uint64_t seed,
                void* stream) {
  const std::int64_t rows = static_cast<std::int64_t>(batch) * heads * tokens;
  const int per_block = kThreads / (head_dim / 2);
  const auto blocks = static_cast<unsigned>((rows + per_block - 1) / per_block);
  WriteNormals<<<blocks, kThreads, 0, static_cast<cudaStream_t>(stream)>>>(
      view, heads, tokens, head_dim, rows, seed);
  kernels::gpu::RequireLaunched("WriteNormals");
}

void ReferenceOnDevice(const AttentionCall& call,
                       int q_block,
                       int k_block,
                       const std::int64_t* rows,
                       std::int64_t row_count,
                       double* o,
                       double* lse,
                       void* stream) {
  if (row_count == 0) return;
  AttendRow<<<static_cast<unsigned>(row_count), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(
      call, q_block, k_block, rows, o, lse);
  kernels::gpu::RequireLaunched("AttendRow");
}

}  // namespace dbsp::gpu_check
