// SPDX-License-Identifier: Apache-2.0
// The classes of runtime/cuda/*.h on the emulated GPUs. They replace those that call CUDA.
#include <fmt/format.h>

#include <cstring>

#include "core/error.h"
#include "runtime/cuda/cuda_buffer.h"
#include "runtime/cuda/cuda_check.h"
#include "runtime/cuda/cuda_device.h"
#include "runtime/cuda/cuda_driver.h"
#include "runtime/cuda/cuda_event.h"
#include "runtime/cuda/cuda_graph.h"
#include "runtime/cuda/cuda_stream.h"
#include "tests/emulated_gpu/emulated_runtime.h"

struct CUgraph_st {};  // a recorded graph needs no instantiation
struct CUgraphExec_st {
  std::vector<dbsp::emulated_gpu::Work> work;
};

namespace dbsp::runtime {
namespace {

using emulated_gpu::EmulatedRuntime;
using emulated_gpu::Work;

constexpr int kVersion = 13000;
constexpr int kClockKhz = 1'000'000;

void RequireInside(std::size_t bytes, std::size_t size) {
  if (bytes <= size) return;
  Fail(ErrorCode::kInvalidArgument, "a copy of {} bytes and a device buffer of {}", bytes, size);
}

void EnqueueCopy(void* to, const void* from, std::size_t bytes, const CudaStream& stream) {
  EmulatedRuntime::Get().Enqueue(
      stream.get(),
      {.start = [to, from, bytes] { std::memmove(to, from, bytes); }, .done = nullptr});
}

}  // namespace

void CheckCuda(int result, const char* call, const char*, int) {
  if (result != 0) Fail(ErrorCode::kUnavailable, "{}: the emulated GPU failed", call);
}
bool IsSticky(int) { return false; }
void RequireDriverFor(int, int) {}
void FailOutOfMemory(const char* what, std::size_t asked, std::size_t free, std::size_t total) {
  Fail(ErrorCode::kUnavailable,
       "device memory: {} needs {} bytes, but {} of {} are free",
       what,
       asked,
       free,
       total);
}

void CudaStreamTraits::Close(Type stream) noexcept { EmulatedRuntime::Get().DestroyStream(stream); }
CudaStream::CudaStream() { stream_.Reset(EmulatedRuntime::Get().MakeStream()); }
void CudaStream::Synchronize(const char* what) const {
  EmulatedRuntime::Get().Wait(stream_.get(), what);
}
bool CudaStream::Idle() const { return EmulatedRuntime::Get().Idle(stream_.get()); }

void CudaEventTraits::Close(Type event) noexcept { delete event; }
CudaEvent::CudaEvent() { event_.Reset(new CUevent_st); }
void CudaEvent::Record(const CudaStream& stream) {
  EmulatedRuntime::Get().Record(event_.get(), stream.get());
}
void CudaEvent::Block(const CudaStream& stream) const {
  EmulatedRuntime::Get().MakeWait(stream.get(), event_.get());
}
void CudaEvent::Synchronize() const { EmulatedRuntime::Get().Wait(event_.get()); }
double CudaEvent::ElapsedNs(const CudaEvent& begin, const CudaEvent& end) {
  for (const CudaEvent* event : {&begin, &end}) {
    const CUevent_st::State& state = *event->get()->state;
    if (state.recorded == 0 || state.reached < state.recorded) {
      Fail(ErrorCode::kUnavailable, "cudaEventElapsedTime: an event that was not reached");
    }
  }
  return static_cast<double>(end.get()->state->ns - begin.get()->state->ns);
}

void CudaMemoryTraits::Close(Type memory) noexcept { EmulatedRuntime::Get().Free(memory); }
void CudaPinnedTraits::Close(Type memory) noexcept { EmulatedRuntime::Get().Free(memory); }

CudaBuffer::CudaBuffer(std::size_t bytes, const std::string& what) : bytes_(bytes) {
  if (bytes == 0) return;
  memory_.Reset(EmulatedRuntime::Get().Allocate(bytes));
  if (memory_) return;
  const CudaMemoryInfo info = CudaMemory();
  FailOutOfMemory(what.c_str(), bytes, info.free, info.total);
}
void CudaBuffer::Upload(const void* from, std::size_t bytes, const CudaStream& stream) const {
  RequireInside(bytes, bytes_);
  if (bytes == 0) return;
  EnqueueCopy(memory_.get(), from, bytes, stream);
  stream.Synchronize();
}
void CudaBuffer::Download(void* to,
                          std::size_t bytes,
                          const CudaStream& stream,
                          std::size_t offset) const {
  RequireInside(offset + bytes, bytes_);
  if (bytes == 0) return;
  EnqueueCopy(to, As<std::byte>() + offset, bytes, stream);
  stream.Synchronize();
}
void CudaBuffer::CopyFrom(const CudaBuffer& other, const CudaStream& stream) const {
  CopyPart(other, 0, 0, other.bytes_, stream);
}
void CudaBuffer::CopyPart(const CudaBuffer& other,
                          std::size_t from,
                          std::size_t to,
                          std::size_t bytes,
                          const CudaStream& stream) const {
  RequireInside(from + bytes, other.bytes_);
  RequireInside(to + bytes, bytes_);
  if (bytes == 0) return;
  EnqueueCopy(As<std::byte>() + to, other.As<std::byte>() + from, bytes, stream);
}
void CudaBuffer::Fill(std::uint8_t value, const CudaStream& stream) const {
  if (bytes_ == 0) return;
  EmulatedRuntime::Get().Enqueue(
      stream.get(),
      {.start = [to = memory_.get(), value, bytes = bytes_] { std::memset(to, value, bytes); },
       .done = nullptr});
}
CudaPinned::CudaPinned(std::size_t bytes, const std::string&) {
  memory_.Reset(EmulatedRuntime::Get().AllocateHost(bytes));
}

void CudaGraphTraits::Close(Type graph) noexcept { delete graph; }
void CudaGraphExecTraits::Close(Type graph) noexcept { delete graph; }
CudaGraph::CudaGraph(const CudaStream& stream, const std::function<void()>& enqueue)
    : executable_(new CUgraphExec_st{EmulatedRuntime::Get().Capture(stream.get(), enqueue)}) {}
void CudaGraph::Launch(const CudaStream& stream) const {
  ++EmulatedRuntime::Get().counts.graph_launches;
  for (const Work& work : executable_.get()->work)
    EmulatedRuntime::Get().Enqueue(stream.get(), work);
}

CudaDeviceFacts OpenCudaDevice(int index) {
  const emulated_gpu::Options& options = EmulatedRuntime::Get().options();
  if (index < 0 || index >= options.devices) {
    Fail(ErrorCode::kUnavailable, "no device {}; there are {}", index, options.devices);
  }
  EmulatedRuntime::Get().SetDevice(index);
  CudaDeviceFacts facts;
  facts.index = index;
  facts.name = CudaDriver::Load().device_name(index);
  facts.arch = options.arch;
  facts.sm_count = options.sm_count;
  facts.memory_bytes = options.memory_bytes;
  facts.l2_bytes = options.l2_bytes;
  facts.shared_bytes_per_block = 232448;
  facts.sm_clock_khz = kClockKhz;
  facts.driver_version = kVersion;
  facts.runtime_version = kVersion;
  return facts;
}
CurrentCudaDevice::CurrentCudaDevice(int index) : before_(EmulatedRuntime::CurrentDevice()) {
  EmulatedRuntime::Get().SetDevice(index);
}
CurrentCudaDevice::~CurrentCudaDevice() { EmulatedRuntime::Get().SetDevice(before_); }
CudaMemoryInfo CudaMemory() {
  EmulatedRuntime& runtime = EmulatedRuntime::Get();
  return {runtime.FreeBytes(EmulatedRuntime::CurrentDevice()), runtime.options().memory_bytes};
}

struct CudaDriver::Api {};
CudaDriver::CudaDriver(std::unique_ptr<Api> api) : api_(std::move(api)) {}
CudaDriver::~CudaDriver() = default;
CudaDriver::CudaDriver(CudaDriver&&) noexcept = default;
CudaDriver& CudaDriver::operator=(CudaDriver&&) noexcept = default;
CudaDriver CudaDriver::Load(const std::string&) { return CudaDriver(std::make_unique<Api>()); }
std::optional<std::string> CudaDriver::InstalledVersion(const std::string&) { return "13.0"; }
std::optional<std::string> CudaDriver::HeaderVersion() { return "13.0"; }
std::string CudaDriver::version() const { return "13.0"; }
int CudaDriver::version_number() const { return kVersion; }
int CudaDriver::device_count() const { return EmulatedRuntime::Get().options().devices; }
std::string CudaDriver::device_name(int) const { return "emulated GPU"; }
std::string CudaDriver::device_uuid(int index) const {
  return fmt::format("GPU-emulated-{}", index);
}
std::string CudaDriver::device_pci(int index) const {
  return fmt::format("0000:{:02x}:00.0", index);
}
std::int64_t CudaDriver::device_memory_bytes(int) const {
  return static_cast<std::int64_t>(EmulatedRuntime::Get().options().memory_bytes);
}

}  // namespace dbsp::runtime
