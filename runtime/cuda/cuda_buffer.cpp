// SPDX-License-Identifier: Apache-2.0
#include "runtime/cuda/cuda_buffer.h"

#include <cuda_runtime.h>

#include "core/error.h"
#include "runtime/cuda/cuda_check.h"
#include "runtime/cuda/cuda_stream.h"

namespace dbsp::runtime {
namespace {

/// A copy from or to pageable memory may wait for the stream inside CUDA, without a deadline.
/// Therefore the copies between host and device wait before they start.
constexpr const char* kBefore = "the work before a copy";

void RequireInside(std::size_t bytes, std::size_t size) {
  if (bytes <= size) return;
  Fail(ErrorCode::kInvalidArgument,
       "a copy of {} bytes is larger than the device buffer of {}",
       bytes,
       size);
}

}  // namespace

void CudaMemoryTraits::Close(Type memory) noexcept { (void)cudaFree(memory); }
void CudaPinnedTraits::Close(Type memory) noexcept { (void)cudaFreeHost(memory); }

CudaBuffer::CudaBuffer(std::size_t bytes, const std::string& what) : bytes_(bytes) {
  if (bytes == 0) return;
  void* memory = nullptr;
  const cudaError_t result = cudaMalloc(&memory, bytes);
  if (result == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    std::size_t free = 0;
    std::size_t total = 0;
    DBSP_CUDA(cudaMemGetInfo(&free, &total));
    FailOutOfMemory(what.c_str(), bytes, free, total);
  }
  CheckCuda(result, "cudaMalloc", __FILE__, __LINE__);
  memory_.Reset(memory);
}

void CudaBuffer::Upload(const void* from, std::size_t bytes, const CudaStream& stream) const {
  RequireInside(bytes, bytes_);
  if (bytes == 0) return;
  stream.Synchronize(kBefore);
  DBSP_CUDA(cudaMemcpyAsync(memory_.get(), from, bytes, cudaMemcpyHostToDevice, stream.get()));
  stream.Synchronize();
}

void CudaBuffer::Download(void* to,
                          std::size_t bytes,
                          const CudaStream& stream,
                          std::size_t offset) const {
  RequireInside(offset + bytes, bytes_);
  if (bytes == 0) return;
  const auto* from = static_cast<const std::byte*>(memory_.get()) + offset;
  stream.Synchronize(kBefore);
  DBSP_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream.get()));
  stream.Synchronize();
}

void CudaBuffer::CopyFrom(const CudaBuffer& other, const CudaStream& stream) const {
  RequireInside(other.bytes_, bytes_);
  if (other.bytes_ == 0) return;
  DBSP_CUDA(cudaMemcpyAsync(
      memory_.get(), other.memory_.get(), other.bytes_, cudaMemcpyDeviceToDevice, stream.get()));
}

void CudaBuffer::CopyPart(const CudaBuffer& other,
                          std::size_t from,
                          std::size_t to,
                          std::size_t bytes,
                          const CudaStream& stream) const {
  RequireInside(from + bytes, other.bytes_);
  RequireInside(to + bytes, bytes_);
  if (bytes == 0) return;
  DBSP_CUDA(cudaMemcpyAsync(As<std::byte>() + to,  // CUDA finds the devices from the addresses
                            other.As<std::byte>() + from,
                            bytes,
                            cudaMemcpyDefault,
                            stream.get()));
}

void CudaBuffer::Fill(std::uint8_t value, const CudaStream& stream) const {
  if (bytes_ == 0) return;
  DBSP_CUDA(cudaMemsetAsync(memory_.get(), value, bytes_, stream.get()));
}

CudaPinned::CudaPinned(std::size_t bytes, const std::string& what) {
  void* memory = nullptr;
  const cudaError_t result = cudaHostAlloc(&memory, bytes, cudaHostAllocMapped);
  if (result == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    Fail(ErrorCode::kUnavailable,
         "{}: the system cannot allocate {} bytes of page-locked host memory",
         what,
         bytes);
  }
  CheckCuda(result, "cudaHostAlloc", __FILE__, __LINE__);
  memory_.Reset(memory);
}

}  // namespace dbsp::runtime
