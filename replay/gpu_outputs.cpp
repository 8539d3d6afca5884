// SPDX-License-Identifier: Apache-2.0
#include "replay/gpu_outputs.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "core/bf16.h"
#include "core/error.h"
#include "core/parallel_for.h"
#include "core/units.h"
#include "kernels/gpu/device_lists.h"
#include "replay/input_data.h"
#include "replay/rank.h"
#include "runtime/cuda/cuda_buffer.h"
#include "runtime/cuda/cuda_device.h"

namespace dbsp::replay {
namespace {

using runtime::CudaBuffer;
using runtime::CudaStream;

std::int64_t TensorElements(const AttentionShape& shape) {
  return shape.tokens * shape.heads * shape.head_dim;
}

/// One of Q, K, V of all tokens, [tokens][heads][head_dim].
CudaBuffer WholeTensor(const Cell& cell, planner::Tensor tensor, const CudaStream& stream) {
  std::vector<std::uint16_t> whole(Index(TensorElements(cell.shape)));
  FillTokens(cell.key, tensor, cell.shape, 0, 0, whole);
  return runtime::ToDevice(
      std::span<const std::uint16_t>(whole), "a whole tensor of the unsplit run", stream);
}

struct MaskLists {
  std::vector<std::int32_t> begin{0};
  std::vector<std::int32_t> list;
};

MaskLists ListsOf(const LayerMasks& masks) {
  MaskLists lists;
  std::vector<int> columns;
  for (const BlockMaskPtr& mask : masks.head) {
    for (int row = 0; row < mask->rows(); ++row) {
      columns.clear();
      mask->AppendRow(row, columns);
      lists.list.insert(lists.list.end(), columns.begin(), columns.end());
      lists.begin.push_back(static_cast<std::int32_t>(lists.list.size()));
    }
  }
  return lists;
}

struct Distance {
  double error_squares = 0;
  double reference_squares = 0;
  double lse = 0;
};

/// Differences over all rows. A NaN in any row makes the result NaN.
Distance DistanceOf(const AttentionShape& shape,
                    const DeviceOutputs& outputs,
                    const UnsplitResults& unsplit,
                    int threads) {
  const auto dim = static_cast<std::size_t>(shape.head_dim);
  std::vector<Distance> per_head(shape.heads);
  ParallelFor(shape.heads, threads, [&](int head) {
    Distance& sum = per_head[head];
    for (std::int64_t token = 0; token < shape.tokens; ++token) {
      const std::span<const std::uint16_t> got = outputs.Bits(head, token);
      const auto expected =
          std::span(unsplit.o).subspan(Index(token * shape.heads + head) * dim, dim);
      for (std::size_t i = 0; i < dim; ++i) {
        const double reference = FromBf16(expected[i]);
        const double difference = FromBf16(got[i]) - reference;
        sum.error_squares += difference * difference;
        sum.reference_squares += reference * reference;
      }
      const double lse = LseDistance(outputs.LogSumExp(head, token),
                                     unsplit.lse[Index(head * shape.tokens + token)]);
      if (!(lse <= sum.lse)) sum.lse = lse;
    }
  });
  Distance sum;
  for (const Distance& head : per_head) {
    sum.error_squares += head.error_squares;
    sum.reference_squares += head.reference_squares;
    if (!(head.lse <= sum.lse)) sum.lse = head.lse;
  }
  return sum;
}

std::uint32_t BitsOf(float value) { return std::bit_cast<std::uint32_t>(value); }

}  // namespace

std::vector<RankBuffers> MakeGpuRankBuffers(const Cell& cell) {
  std::vector<RankBuffers> buffers(cell.ranks());
  ParallelFor(cell.ranks(), 0, [&](int rank) {
    buffers[rank] = MakeRankBuffers(cell, rank, BlockLayout::kUniform);
  });
  return buffers;
}

void RequireDeviceMemory(std::int64_t bytes, const std::string& what) {
  const runtime::CudaMemoryInfo memory = runtime::CudaMemory();
  if (bytes <= static_cast<std::int64_t>(memory.free)) return;
  Fail(ErrorCode::kUnavailable,
       "{} needs {:.2f} GB of device memory, {:.2f} of {:.2f} GB are free; make a smaller workload "
       "(dbsp-workload make --tokens, --grid or --heads) and tune it again",
       what,
       static_cast<double>(bytes) / kBytesPerGb,
       static_cast<double>(memory.free) / kBytesPerGb,
       static_cast<double>(memory.total) / kBytesPerGb);
}

std::span<const std::uint16_t> DeviceOutputs::Bits(int head, std::int64_t token) const {
  const auto home = static_cast<std::size_t>(cell_.home.RankOf(token));
  const std::int64_t row = (token - cell_.home.begin[home]) * cell_.shape.heads + head;
  const auto dim = static_cast<std::size_t>(cell_.shape.head_dim);
  return std::span(results_.o[home]).subspan(Index(row) * dim, dim);
}

void DeviceOutputs::Row(int head, std::int64_t token, std::span<float> row) const {
  std::ranges::transform(Bits(head, token), row.begin(), FromBf16);
}

float DeviceOutputs::LogSumExp(int head, std::int64_t token) const {
  const RowIndex::Location location = index_.Of(head, token);
  if (location.rank < 0) return std::numeric_limits<float>::quiet_NaN();
  return results_.lse[location.rank][Index(location.row)];
}

bool SameBits(const DeviceResults& a, const DeviceResults& b) {
  return a.o == b.o && std::ranges::equal(a.lse, b.lse, [](const auto& x, const auto& y) {
           return std::ranges::equal(x, y, {}, BitsOf, BitsOf);
         });
}

int DeviceOutputs::Writes(int head, int q_block) const {
  const int home = cell_.home.RankOf(static_cast<std::int64_t>(q_block) * cell_.shape.block.q);
  return ranks_[home]->Writes(head, q_block);
}

std::int64_t UnsplitBytes(const AttentionShape& shape, const LayerMasks& masks) {
  std::int64_t ints = 2 * std::int64_t{shape.heads} * shape.q_blocks() + 2;
  for (const BlockMaskPtr& mask : masks.head) ints += mask->Count();
  return 4 * TensorElements(shape) * kBf16Bytes +
         shape.tokens * shape.heads * std::int64_t{sizeof(float)} +
         ints * std::int64_t{sizeof(std::int32_t)};
}

UnsplitResults RunUnsplit(const Cell& cell,
                          const kernels::gpu::Variant& kernel,
                          const CudaStream& stream) {
  const AttentionShape& shape = cell.shape;
  const CudaBuffer q = WholeTensor(cell, planner::Tensor::kQ, stream);
  const CudaBuffer k = WholeTensor(cell, planner::Tensor::kK, stream);
  const CudaBuffer v = WholeTensor(cell, planner::Tensor::kV, stream);
  const CudaBuffer o(q.bytes(), "O of the unsplit run");
  const CudaBuffer lse(Index(shape.tokens * shape.heads) * sizeof(float), "LSE of the unsplit run");
  o.Fill(0xFF, stream);
  lse.Fill(0xFF, stream);
  const MaskLists masks = ListsOf(cell.masks);
  const kernels::gpu::DeviceLists lists(kernel, shape.q_blocks(), masks.begin, masks.list, stream);
  const auto view = [&](const CudaBuffer& buffer) {
    return kernels::gpu::TensorView{
        .data = buffer.data(),
        .batch_stride = 0,
        .head_stride = shape.head_dim,
        .token_stride = static_cast<std::int64_t>(shape.heads) * shape.head_dim};
  };
  kernels::gpu::AttentionCall call;
  call.shape = {.batch = 1,
                .heads = shape.heads,
                .q_tokens = static_cast<int>(shape.tokens),
                .k_tokens = static_cast<int>(shape.tokens),
                .head_dim = shape.head_dim,
                .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(shape.head_dim)))};
  call.q = view(q);
  call.k = view(k);
  call.v = view(v);
  call.o = view(o);
  call.lse = lse.As<float>();
  kernel.launch(lists.Over(call, stream));
  UnsplitResults results;
  results.o.resize(Index(TensorElements(shape)));
  results.lse.resize(Index(shape.tokens * shape.heads));
  o.Download(results.o.data(), o.bytes(), stream);
  lse.Download(results.lse.data(), lse.bytes(), stream);
  return results;
}

VerifyResult VerifyDeviceOutputs(const Cell& cell,
                                 const DeviceOutputs& outputs,
                                 const UnsplitResults& unsplit,
                                 const VerifyOptions& options) {
  VerifyResult result = Verify(cell, outputs, options);
  if (!result.passed) return result;
  const Distance sum = DistanceOf(cell.shape, outputs, unsplit, options.threads);
  const double error = sum.error_squares == 0 ? 0
                       : sum.reference_squares > 0
                           ? std::sqrt(sum.error_squares / sum.reference_squares)
                           : std::numeric_limits<double>::infinity();
  result.unsplit_error = error;
  result.unsplit_lse_error = sum.lse;
  if (error <= options.max_relative_error && sum.lse <= options.max_lse_error) {
    return result;  // false for NaN
  }
  result.passed = false;
  result.problem = fmt::format(
      "the outputs differ from an unsplit run on the same device: relative error {:.3g} (limit "
      "{:.3g}), log-sum-exp error {:.3g} (limit {:.3g}), over all rows",
      error,
      options.max_relative_error,
      sum.lse,
      options.max_lse_error);
  return result;
}

}  // namespace dbsp::replay
