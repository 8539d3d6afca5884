// SPDX-License-Identifier: Apache-2.0
#include "replay/gpu_rank.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "core/bf16.h"
#include "replay/input_data.h"

namespace dbsp::replay {
namespace {

using kernels::gpu::AttentionCall;
using kernels::gpu::DeviceLists;
using kernels::gpu::MergeCall;
using kernels::gpu::TensorView;
using kernels::gpu::Variant;
using runtime::CudaBuffer;
using runtime::CudaStream;

constexpr std::uint8_t kPoisonByte = 0xFF;  ///< a NaN in bf16 and in fp32

CudaBuffer Elements(std::int64_t count, int rank, const char* what) {
  return {Index(count * kBf16Bytes), fmt::format("{} of rank {}", what, rank)};
}

/// Lists of a step in the form of an AttentionCall. Entries are key slots; the lists of rows that a
/// head does not have are empty.
struct SlotLists {
  std::vector<std::int32_t> begin{0};
  std::vector<std::int32_t> list;
};

SlotLists ListsOfSlots(const StepPlan& step) {
  SlotLists lists;
  for (const std::size_t h : step.heads) {
    const HeadCall& call = step.head[h];
    for (int row = 0; row < step.q_slots; ++row) {
      const auto at = static_cast<std::size_t>(row);
      if (at + 1 < call.list_begin.size()) {
        for (std::int64_t i = call.list_begin[at]; i < call.list_begin[at + 1]; ++i) {
          lists.list.push_back(call.first_slot + call.list[Index(i)]);
        }
      }
      lists.begin.push_back(static_cast<std::int32_t>(lists.list.size()));
    }
  }
  return lists;
}

std::int64_t Sum(const std::vector<std::int64_t>& values) {
  std::int64_t sum = 0;
  for (const std::int64_t value : values) sum += value;
  return sum;
}

}  // namespace

std::int64_t DeviceBytes(const RankBuffers& buffers) {
  const Cell& cell = *buffers.cell;
  const std::int64_t element = kBf16Bytes;
  const std::int64_t float_bytes = sizeof(float);
  const std::int64_t lse = buffers.row_slots * cell.shape.block.q * float_bytes;
  const std::int64_t rows = buffers.row_elements() * element + lse;
  std::int64_t bytes = 4 * buffers.home_elements * element;
  bytes += buffers.block_elements() * element + buffers.slot_elements() * element;
  bytes += cell.is_ring() ? 3 * rows : rows;
  if (buffers.steps.size() > 2 && cell.is_ring())
    bytes += buffers.row_elements() * float_bytes + lse;
  bytes += element * (Sum(buffers.staging_elements) + Sum(buffers.send_elements) +
                      Sum(buffers.recv_elements));
  for (const CopyPlan& round : buffers.rounds) {
    bytes += std::ssize(round.pack) * std::int64_t{sizeof(kernels::CopyItem)};
    bytes += std::ssize(round.unpack) * std::int64_t{sizeof(kernels::CopyItem)};
  }
  for (const StepPlan& step : buffers.steps) {
    const std::int64_t tiles = std::ssize(step.heads) * step.q_slots;
    std::int64_t ints = 2 * tiles + 2;  // offsets, order, counter
    for (const std::size_t h : step.heads) ints += std::ssize(step.head[h].list);
    bytes += ints * std::int64_t{sizeof(std::int32_t)};
  }
  return bytes;
}

DeviceCopy::DeviceCopy(std::span<const kernels::CopyItem> items,
                       const BlockSize& block,
                       const CudaStream& stream) {
  const int shorter = std::min(block.q, block.k);
  const int longer = std::max(block.q, block.k);
  kernels::gpu::CheckItems(items, longer);
  std::array<std::vector<kernels::CopyItem>, 2> by_length;
  for (const kernels::CopyItem& item : items) by_length[item.tokens > shorter].push_back(item);
  for (std::size_t i = 0; i < by_length.size(); ++i) {
    const std::span<const kernels::CopyItem> group = by_length[i];
    if (group.empty()) continue;
    lists_.push_back({.items = runtime::ToDevice(group, "copy lists", stream),
                      .count = std::ssize(group),
                      .max_tokens = i == 0 ? shorter : longer});
  }
}

void DeviceCopy::Launch(const void* from,
                        std::int64_t from_stride,
                        void* to,
                        std::int64_t to_stride,
                        int head_dim,
                        const CudaStream& stream) const {
  if (lists_.empty()) return;
  kernels::gpu::CopyCall call{
      .lists = static_cast<int>(lists_.size()), .head_dim = head_dim, .stream = stream.get()};
  for (std::size_t i = 0; i < lists_.size(); ++i) {
    call.list[i] = {.from = from,
                    .from_stride = from_stride,
                    .to = to,
                    .to_stride = to_stride,
                    .items = lists_[i].items.As<kernels::CopyItem>(),
                    .item_count = lists_[i].count,
                    .max_tokens = lists_[i].max_tokens};
  }
  kernels::gpu::LaunchCopy(call);
}

GpuRank::GpuRank(RankBuffers made, const Variant& kernel, const CudaStream& stream)
    : Rank(std::move(made)),
      kernel_(kernel),
      stream_(stream),
      home_in_(Elements(3 * buffers().home_elements, rank(), "Q, K, V at home")),
      home_out_(Elements(buffers().home_elements, rank(), "O at home")),
      blocks_(Elements(buffers().block_elements(), rank(), "Q, K, V blocks")),
      zeros_(Elements(buffers().slot_elements(), rank(), "zeros")),
      result_(MakeRows("O blocks")) {
  const Cell& cell = *buffers().cell;
  zeros_.Fill(0, stream_);
  if (cell.is_ring()) {
    for (Rows& part : part_) part = MakeRows("partial O");
  }
  if (cell.is_ring() && buffers().steps.size() > 2) {
    const std::size_t rows = Index(buffers().row_slots) * Index(cell.shape.block.q);
    sum_ = CudaBuffer(Index(buffers().row_elements()) * sizeof(float), "summed O");
    sum_lse_ = CudaBuffer(rows * sizeof(float), "summed log-sum-exp");
  }
  for (const std::int64_t size : buffers().staging_elements) {
    staging_.push_back(Elements(size, rank(), "blocks between rounds"));
  }
  for (const std::int64_t size : buffers().send_elements) {
    send_.push_back(Elements(size, rank(), "the send buffer"));
  }
  for (const std::int64_t size : buffers().recv_elements) {
    recv_.push_back(Elements(size, rank(), "the receive buffer"));
  }
  for (const CopyPlan& round : buffers().rounds) {
    pack_.emplace_back(round.pack, cell.shape.block, stream_);
    unpack_.emplace_back(round.unpack, cell.shape.block, stream_);
  }
  for (const StepPlan& step : buffers().steps) lists_.push_back(ListsOf(step));
}

GpuRank::Rows GpuRank::MakeRows(const char* what) const {
  const std::size_t rows = Index(buffers().row_slots) * Index(buffers().cell->shape.block.q);
  return {.o = Elements(buffers().row_elements(), rank(), what),
          .lse = CudaBuffer(rows * sizeof(float), fmt::format("LSE of {}", what))};
}

DeviceLists GpuRank::ListsOf(const StepPlan& step) const {
  const SlotLists lists = ListsOfSlots(step);
  return {kernel_, std::max(1, step.q_slots), lists.begin, lists.list, stream_};
}

void GpuRank::Fill(int threads) {
  const Cell& cell = *buffers().cell;
  std::vector<std::uint16_t> home(Index(3 * buffers().home_elements));
  std::span<std::uint16_t> rest = home;
  for (const planner::Tensor tensor :
       {planner::Tensor::kQ, planner::Tensor::kK, planner::Tensor::kV}) {
    FillTokens(cell.key,
               tensor,
               cell.shape,
               buffers().first_token,
               threads,
               rest.first(Index(buffers().home_elements)));
    rest = rest.subspan(Index(buffers().home_elements));
  }
  home_in_.Upload(home.data(), home.size() * sizeof(home[0]), stream_);
}

std::vector<std::uint16_t> GpuRank::Output() const {
  std::vector<std::uint16_t> out(Index(buffers().home_elements));
  home_out_.Download(out.data(), out.size() * sizeof(out[0]), stream_);
  return out;
}

std::vector<float> GpuRank::LogSumExp() const {
  std::vector<float> lse(Index(buffers().row_slots) * Index(buffers().cell->shape.block.q));
  result_.lse.Download(lse.data(), lse.size() * sizeof(float), stream_);
  return lse;
}

std::span<std::byte> GpuRank::SendBytes(std::size_t index) { return send_[index].span(); }
std::span<std::byte> GpuRank::RecvBytes(std::size_t index) { return recv_[index].span(); }
std::span<std::byte> GpuRank::KvBytes(int step) {
  return blocks_.span().subspan(Index(buffers().Bytes(buffers().StepKv(step))),
                                Index(buffers().Bytes(buffers().steps[Index(step)].elements)));
}

void GpuRank::PoisonMemory() {
  for (const CudaBuffer* buffer : {&home_out_,
                                   &blocks_,
                                   &result_.o,
                                   &result_.lse,
                                   &part_[0].o,
                                   &part_[0].lse,
                                   &part_[1].o,
                                   &part_[1].lse,
                                   &sum_,
                                   &sum_lse_}) {
    buffer->Fill(kPoisonByte, stream_);
  }
  for (const auto* buffers : {&staging_, &send_, &recv_}) {
    for (const CudaBuffer& buffer : *buffers) buffer.Fill(kPoisonByte, stream_);
  }
  // A kernel may read the padding of a short query block. Zeros keep NaN out of its results.
  const std::int64_t slot = buffers().slot_elements();
  const int dim = buffers().cell->shape.head_dim;
  for (const HeadSlots& slots : buffers().slots) {
    for (std::size_t r = 0; r < slots.q_tokens.size(); ++r) {
      const std::int64_t used = std::int64_t{slots.q_tokens[r]} * dim;
      const std::int64_t first = (slots.first + static_cast<std::int64_t>(r)) * slot + used;
      blocks_.CopyPart(
          zeros_, 0, Index(first * kBf16Bytes), Index((slot - used) * kBf16Bytes), stream_);
    }
  }
}

const CudaBuffer& GpuRank::Memory(const RoundMemory& memory) const {
  switch (memory.memory) {
    case RankMemory::kHomeIn:
      return home_in_;
    case RankMemory::kHomeOut:
      return home_out_;
    case RankMemory::kBlocks:
      return blocks_;
    case RankMemory::kResult:
      return result_.o;
    case RankMemory::kStaging:
      break;
  }
  return staging_[Index(memory.index)];
}

void GpuRank::PackBlocks(int round) {
  const RoundMemory from = buffers().MemoryOf(round, true);
  const int dim = buffers().cell->shape.head_dim;
  const CudaBuffer& to = send_[buffers().BufferOf(round)];
  pack_[Index(round)].Launch(Memory(from).data(), from.stride, to.data(), dim, dim, stream_);
}

void GpuRank::UnpackBlocks(int round) {
  const RoundMemory to = buffers().MemoryOf(round, false);
  const int dim = buffers().cell->shape.head_dim;
  const CudaBuffer& from = recv_[buffers().BufferOf(round)];
  unpack_[Index(round)].Launch(from.data(), dim, Memory(to).data(), to.stride, dim, stream_);
}

TensorView GpuRank::View(const CudaBuffer& memory, std::int64_t offset, std::int64_t tokens) const {
  const std::int64_t dim = buffers().cell->shape.head_dim;
  return {.data = memory.As<std::uint16_t>() + offset,
          .batch_stride = 0,
          .head_stride = tokens * dim,
          .token_stride = dim};
}

std::int64_t GpuRank::FirstSlot(const StepPlan& step) const {
  return buffers().slots[step.heads.front()].first;
}

const GpuRank::Rows& GpuRank::ResultOf(int step) const {
  if (!buffers().cell->is_ring()) return result_;
  return part_[step == 0 ? 0 : 1];
}

void GpuRank::RunAttention(int step) {
  const AttentionShape& shape = buffers().cell->shape;
  const StepPlan& of_step = buffers().steps[Index(step)];
  const std::int64_t first = FirstSlot(of_step);
  const std::int64_t kv = buffers().StepKv(step);
  AttentionCall call;
  // Rows without keys are written too, for example on a ring rank without columns in this step. The
  // call then has one key token, which no list names.
  call.shape = {.batch = 1,
                .heads = static_cast<int>(of_step.heads.size()),
                .q_tokens = of_step.q_slots * shape.block.q,
                .k_tokens = std::max(1, of_step.k_tokens),
                .head_dim = shape.head_dim,
                .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(shape.head_dim)))};
  const Rows& result = ResultOf(step);
  call.q = View(blocks_, first * buffers().slot_elements(), call.shape.q_tokens);
  call.k = View(blocks_, kv, call.shape.k_tokens);
  call.v = View(blocks_, kv + of_step.elements / 2, call.shape.k_tokens);
  call.o = View(result.o, first * buffers().slot_elements(), call.shape.q_tokens);
  call.lse = result.lse.As<float>() + first * shape.block.q;
  const bool hop_beside = buffers().cell->is_ring() && step + 1 < std::ssize(buffers().steps);
  if (hop_beside || buffers().cell->chunked()) call.sm_count = sm_count_;
  kernel_.launch(lists_[Index(step)].Over(call, stream_));
}

void GpuRank::RunMerge(int step) {
  const AttentionShape& shape = buffers().cell->shape;
  const StepPlan& of_step = buffers().steps[Index(step)];
  const std::int64_t first = FirstSlot(of_step);
  MergeCall call;
  call.heads = static_cast<int>(of_step.heads.size());
  call.tokens = of_step.q_slots * shape.block.q;
  call.head_dim = shape.head_dim;
  call.stream = stream_.get();
  const auto view = [&](const Rows& rows) {
    return kernels::gpu::Partial{View(rows.o, first * buffers().slot_elements(), call.tokens),
                                 rows.lse.As<float>() + first * shape.block.q};
  };
  // Step 1 merges the first two parts. Later steps merge the sum and the next part. The sum is fp32
  // and is rounded once, at the end of the ring.
  if (step == 1) call.part[call.parts++] = view(part_[0]);
  call.part[call.parts++] = view(part_[1]);
  call.read_sum = step > 1;
  if (sum_.bytes() > 0) {
    call.sum = sum_.As<float>() + first * buffers().slot_elements();
    call.sum_lse = sum_lse_.As<float>() + first * shape.block.q;
  }
  if (step + 1 == std::ssize(buffers().steps)) {
    const kernels::gpu::Partial result = view(result_);
    call.o = result.o;
    call.lse = result_.lse.As<float>() + first * shape.block.q;
  }
  kernels::gpu::LaunchMerge(call);
}

}  // namespace dbsp::replay
