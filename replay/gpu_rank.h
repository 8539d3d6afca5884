// SPDX-License-Identifier: Apache-2.0
// A rank on an NVIDIA GPU: bf16 memory on the device, one launch per pack, unpack, attention and
// merge (docs/design/0013-one-launch-for-ragged-heads.md). Everything is enqueued on one stream and
// nothing waits.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "kernels/gpu/attention.h"
#include "kernels/gpu/device_lists.h"
#include "kernels/gpu/memory.h"
#include "replay/rank.h"
#include "runtime/cuda/cuda_buffer.h"
#include "runtime/cuda/cuda_stream.h"

namespace dbsp::replay {

/// Device memory a rank takes, lists included.
[[nodiscard]] std::int64_t DeviceBytes(const RankBuffers& plan);

/// Copy items of one pack or unpack on the device, by length, so that short blocks start no thread
/// blocks for rows they lack.
class DeviceCopy {
 public:
  DeviceCopy() = default;
  /// errors  Error{kInvalidArgument} as kernels::gpu::CheckItems
  DeviceCopy(std::span<const kernels::CopyItem> items,
             const BlockSize& block,
             const runtime::CudaStream& stream);
  /// One launch; none without items. Strides in elements between successive tokens.
  void Launch(const void* from,
              std::int64_t from_stride,
              void* to,
              std::int64_t to_stride,
              int head_dim,
              const runtime::CudaStream& stream) const;

 private:
  struct List {
    runtime::CudaBuffer items;
    std::int64_t count = 0;
    int max_tokens = 0;
  };
  std::vector<List> lists_;
};

/// owns     its device memory; cell, kernel and stream must outlive it
/// threads  as Rank; the device is current on the thread
class GpuRank final : public Rank {
 public:
  /// Allocates and uploads the lists. requires plan.layout is kUniform
  /// errors  Error{kUnavailable} when the device has too little memory;
  ///         Error{kInvalidArgument} when copy offsets are not what the copy kernel takes
  GpuRank(RankBuffers plan, const kernels::gpu::Variant& kernel, const runtime::CudaStream& stream);

  /// Thread blocks of attention where an exchange may run beside it: in the steps of a ring that
  /// has another hop, and with chunks. 0 = every SM.
  void LimitSms(int sm_count) { sm_count_ = sm_count; }
  /// Makes this rank's part of Q, K and V on `threads` threads of the host and uploads it.
  void Fill(int threads);
  /// O at home as bf16 [local tokens][heads][head_dim]; waits for the stream.
  [[nodiscard]] std::vector<std::uint16_t> Output() const;
  /// Natural log-sum-exp of the rows computed here, [row slots][block.q]; waits for the stream.
  [[nodiscard]] std::vector<float> LogSumExp() const;

  [[nodiscard]] float* SendWords(std::size_t index) override;
  [[nodiscard]] float* RecvWords(std::size_t index) override;
  [[nodiscard]] float* KvWords(int step) override;
  [[nodiscard]] const runtime::CudaBuffer& send(std::size_t index) const { return send_[index]; }
  [[nodiscard]] const runtime::CudaBuffer& recv(std::size_t index) const { return recv_[index]; }
  [[nodiscard]] const runtime::CudaBuffer& blocks() const { return blocks_; }

 private:
  /// bf16 rows and their LSE, [row slots][block.q]([head_dim]).
  struct Rows {
    runtime::CudaBuffer o;
    runtime::CudaBuffer lse;
  };

  void PoisonMemory() override;
  void PackBlocks(int round) override;
  void UnpackBlocks(int round) override;
  void RunAttention(int step) override;
  void RunMerge(int step) override;

  [[nodiscard]] Rows MakeRows(const char* what) const;
  [[nodiscard]] const runtime::CudaBuffer& Memory(const RoundMemory& memory) const;
  [[nodiscard]] kernels::gpu::DeviceLists ListsOf(const StepPlan& step) const;
  /// Of the step's heads within row memory, of heads of `tokens` rows.
  [[nodiscard]] kernels::gpu::TensorView View(const runtime::CudaBuffer& memory,
                                              std::int64_t offset,
                                              std::int64_t tokens) const;
  [[nodiscard]] std::int64_t FirstSlot(const StepPlan& step) const;
  /// Where attention of the step leaves its rows.
  [[nodiscard]] const Rows& ResultOf(int step) const;

  const kernels::gpu::Variant& kernel_;
  const runtime::CudaStream& stream_;
  int sm_count_ = 0;
  runtime::CudaBuffer home_in_;  ///< [Q, K, V][local tokens][heads][head_dim]
  runtime::CudaBuffer home_out_;  ///< [local tokens][heads][head_dim]
  runtime::CudaBuffer blocks_;  ///< Q slots, then K/V buffers
  runtime::CudaBuffer zeros_;  ///< one query block
  Rows result_;
  std::array<Rows, 2> part_;  ///< in a ring: of step 0 and of the step at hand
  runtime::CudaBuffer sum_, sum_lse_;  ///< fp32, in a ring of more than two steps
  std::vector<runtime::CudaBuffer> between_;  ///< [rounds]
  std::vector<runtime::CudaBuffer> send_, recv_;
  std::vector<DeviceCopy> pack_, unpack_;  ///< [rounds]
  std::vector<kernels::gpu::DeviceLists> lists_;  ///< [steps]
};

}  // namespace dbsp::replay
