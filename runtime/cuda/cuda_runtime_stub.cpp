// SPDX-License-Identifier: Apache-2.0
// The CUDA classes of a build without CUDA. Every constructor throws, so no member is ever called.
#include "core/error.h"
#include "runtime/cuda/cuda_buffer.h"
#include "runtime/cuda/cuda_check.h"
#include "runtime/cuda/cuda_device.h"
#include "runtime/cuda/cuda_driver.h"
#include "runtime/cuda/cuda_event.h"
#include "runtime/cuda/cuda_graph.h"
#include "runtime/cuda/cuda_stream.h"

namespace dbsp::runtime {
namespace {

[[noreturn]] void FailNotBuilt() {
  Fail(ErrorCode::kUnavailable, "this build has no CUDA ({})", DBSP_NOT_BUILT);
}

}  // namespace

void CheckCuda(int result, const char*, const char*, int) {
  if (result != 0) FailNotBuilt();
}
bool IsSticky(int) { return false; }
void RequireDriverFor(int, int) { FailNotBuilt(); }
void FailOutOfMemory(const char*, std::size_t, std::size_t, std::size_t) { FailNotBuilt(); }

void CudaStreamTraits::Close(Type) noexcept {}
CudaStream::CudaStream() { FailNotBuilt(); }
void CudaStream::Synchronize(const char*) const { FailNotBuilt(); }
bool CudaStream::Idle() const { FailNotBuilt(); }

void CudaEventTraits::Close(Type) noexcept {}
CudaEvent::CudaEvent() { FailNotBuilt(); }
void CudaEvent::Record(const CudaStream&) { FailNotBuilt(); }
void CudaEvent::Block(const CudaStream&) const { FailNotBuilt(); }
void CudaEvent::Synchronize() const { FailNotBuilt(); }
double CudaEvent::ElapsedNs(const CudaEvent&, const CudaEvent&) { FailNotBuilt(); }

void CudaMemoryTraits::Close(Type) noexcept {}
void CudaPinnedTraits::Close(Type) noexcept {}
CudaBuffer::CudaBuffer(std::size_t, const std::string&) { FailNotBuilt(); }
void CudaBuffer::Upload(const void*, std::size_t, const CudaStream&) const { FailNotBuilt(); }
void CudaBuffer::Download(void*, std::size_t, const CudaStream&, std::size_t) const {
  FailNotBuilt();
}
void CudaBuffer::CopyFrom(const CudaBuffer&, const CudaStream&) const { FailNotBuilt(); }
void CudaBuffer::CopyPart(
    const CudaBuffer&, std::size_t, std::size_t, std::size_t, const CudaStream&) const {
  FailNotBuilt();
}
void CudaBuffer::Fill(std::uint8_t, const CudaStream&) const { FailNotBuilt(); }
CudaPinned::CudaPinned(std::size_t, const std::string&) { FailNotBuilt(); }

void CudaGraphTraits::Close(Type) noexcept {}
void CudaGraphExecTraits::Close(Type) noexcept {}
CudaGraph::CudaGraph(const CudaStream&, const std::function<void()>&) { FailNotBuilt(); }
void CudaGraph::Launch(const CudaStream&) const { FailNotBuilt(); }

CudaDeviceFacts OpenCudaDevice(int) {
  (void)CudaDriver::Load();  // A missing driver is reported first.
  FailNotBuilt();
}
CurrentCudaDevice::CurrentCudaDevice(int) { FailNotBuilt(); }
CurrentCudaDevice::~CurrentCudaDevice() = default;
CudaMemoryInfo CudaMemory() { FailNotBuilt(); }

}  // namespace dbsp::runtime
