// SPDX-License-Identifier: Apache-2.0
// A rank on an NVIDIA GPU: bf16 memory on the device and one kernel launch per pack, unpack,
// attention and merge (docs/design/0013-one-launch-for-ragged-heads.md). All operations are
// asynchronous on one stream unless stated otherwise.
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

/// Bytes of device memory of a rank, lists included.
[[nodiscard]] std::int64_t DeviceBytes(const RankBuffers& buffers);

/// Copy items of one pack or unpack in device memory. Items are grouped by length, so that no
/// thread block is launched for rows that a short block does not have.
class DeviceCopy {
 public:
  DeviceCopy() = default;
  /// errors  Error{kInvalidArgument} of kernels::gpu::CheckItems
  DeviceCopy(std::span<const kernels::CopyItem> items,
             const BlockSize& block,
             const runtime::CudaStream& stream);
  /// Copies all items in one launch; launches nothing without items. Strides are in elements
  /// between successive tokens.
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
/// threads  those of Rank; the rank's device must be current on the calling thread
class GpuRank final : public Rank {
 public:
  /// Allocates and uploads the lists. requires buffers.layout is kUniform
  /// errors  Error{kUnavailable} when the device has too little memory;
  ///         Error{kInvalidArgument} when the copy kernel cannot handle a copy offset
  GpuRank(RankBuffers buffers,
          const kernels::gpu::Variant& kernel,
          const runtime::CudaStream& stream);

  /// Number of SMs that attention uses while an exchange may run: in ring steps that are followed
  /// by a hop, and with chunks. 0 = every SM.
  void LimitSms(int sm_count) { sm_count_ = sm_count; }
  /// Generates this rank's part of Q, K and V on `threads` threads of the host and uploads it.
  void Fill(int threads);
  /// O at home as bf16 [local tokens][heads][head_dim]; waits for the stream.
  [[nodiscard]] std::vector<std::uint16_t> Output() const;
  /// Natural log-sum-exp of the rows that this rank computed, [row slots][block.q]; waits for the
  /// stream.
  [[nodiscard]] std::vector<float> LogSumExp() const;

  [[nodiscard]] std::span<std::byte> SendBytes(std::size_t index) override;
  [[nodiscard]] std::span<std::byte> RecvBytes(std::size_t index) override;
  [[nodiscard]] std::span<std::byte> KvBytes(int step) override;
  [[nodiscard]] const runtime::CudaBuffer& send(std::size_t index) const { return send_[index]; }
  [[nodiscard]] const runtime::CudaBuffer& recv(std::size_t index) const { return recv_[index]; }
  [[nodiscard]] const runtime::CudaBuffer& blocks() const { return blocks_; }

 private:
  /// O in bf16, [row slots][block.q][head_dim], and its LSE, [row slots][block.q].
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
  /// View of memory at element `offset` as heads of `tokens` rows each.
  [[nodiscard]] kernels::gpu::TensorView View(const runtime::CudaBuffer& memory,
                                              std::int64_t offset,
                                              std::int64_t tokens) const;
  [[nodiscard]] std::int64_t FirstSlot(const StepPlan& step) const;
  /// Memory that attention of the step writes.
  [[nodiscard]] const Rows& ResultOf(int step) const;

  const kernels::gpu::Variant& kernel_;
  const runtime::CudaStream& stream_;
  int sm_count_ = 0;
  runtime::CudaBuffer home_in_;  ///< [Q, K, V][local tokens][heads][head_dim]
  runtime::CudaBuffer home_out_;  ///< [local tokens][heads][head_dim]
  runtime::CudaBuffer blocks_;  ///< Q slots, then K/V buffers
  runtime::CudaBuffer zeros_;  ///< one query block
  Rows result_;
  std::array<Rows, 2> part_;  ///< in a ring: results of step 0 and of the current step
  runtime::CudaBuffer sum_, sum_lse_;  ///< fp32, in a ring of more than two steps
  std::vector<runtime::CudaBuffer> staging_;  ///< [rounds]
  std::vector<runtime::CudaBuffer> send_, recv_;
  std::vector<DeviceCopy> pack_, unpack_;  ///< [rounds]
  std::vector<kernels::gpu::DeviceLists> lists_;  ///< [steps]
};

}  // namespace dbsp::replay
