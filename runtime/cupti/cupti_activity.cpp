// SPDX-License-Identifier: Apache-2.0
#include "runtime/cupti/cupti_activity.h"

#include <cupti.h>

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <utility>
#include <vector>

#include "core/error.h"
#include "runtime/cupti/cupti_check.h"

namespace dbsp::runtime {
namespace {

/// The size of a cache line. CUPTI requires 8 bytes (ACTIVITY_RECORD_ALIGNMENT).
constexpr std::size_t kAlignment = 64;

struct Free {
  void operator()(std::uint8_t* memory) const noexcept { std::free(memory); }
};
struct FilledBuffer {
  std::unique_ptr<std::uint8_t, Free> memory;
  std::size_t valid_bytes = 0;
};

/// Buffers that CUPTI's callbacks fill on any thread. The mutex is never held during a call of
/// CUPTI.
struct Buffers {
  std::size_t buffer_bytes = 0;
  std::size_t most_bytes = 0;
  decltype(::cuptiActivityGetNumDroppedRecords)* dropped_of = nullptr;

  std::mutex mutex;
  std::size_t allocated = 0;
  std::vector<FilledBuffer> filled;
  std::int64_t dropped = 0;
};

/// The callbacks have no argument from the caller, so they use this pointer. It is never null while
/// CUPTI may call them.
std::atomic<Buffers*> g_buffers{nullptr};

void CUPTIAPI OnBufferRequested(std::uint8_t** buffer, std::size_t* size, std::size_t* records) {
  *buffer = nullptr;
  *size = 0;
  *records = 0;  // 0 means as many as fit
  Buffers* buffers = g_buffers;
  if (buffers == nullptr) return;
  const std::scoped_lock lock(buffers->mutex);
  if (buffers->allocated + buffers->buffer_bytes > buffers->most_bytes) return;
  *buffer = static_cast<std::uint8_t*>(std::aligned_alloc(kAlignment, buffers->buffer_bytes));
  if (*buffer == nullptr) return;
  *size = buffers->buffer_bytes;
  buffers->allocated += buffers->buffer_bytes;
}

void CUPTIAPI OnBufferCompleted(CUcontext context,
                                std::uint32_t stream,
                                std::uint8_t* buffer,
                                std::size_t /*size*/,
                                std::size_t valid_bytes) {
  FilledBuffer filled{std::unique_ptr<std::uint8_t, Free>(buffer), valid_bytes};
  Buffers* buffers = g_buffers;
  if (buffers == nullptr) return;
  std::size_t dropped = 0;
  if (buffers->dropped_of(context, stream, &dropped) != CUPTI_SUCCESS) dropped = 0;
  const std::scoped_lock lock(buffers->mutex);
  buffers->dropped += static_cast<std::int64_t>(dropped);
  if (valid_bytes == 0) {
    buffers->allocated -= buffers->buffer_bytes;
    return;
  }
  try {
    buffers->filled.push_back(std::move(filled));
  } catch (const std::bad_alloc&) {
    // A callback must not throw, so the records of this buffer are lost.
    ++buffers->dropped;
  }
}

/// RUNTIME is enabled because CUPTI records an external id only together with the launching call.
/// All launches of dbsp are calls of the CUDA runtime. DRIVER would add a second record of each;
/// NCCL's launches are driver calls on NCCL's own threads, which have no segment.
/// MEMCPY2 is copies between devices.
constexpr CUpti_ActivityKind kKinds[] = {CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL,
                                         CUPTI_ACTIVITY_KIND_MEMCPY,
                                         CUPTI_ACTIVITY_KIND_MEMCPY2,
                                         CUPTI_ACTIVITY_KIND_MEMSET,
                                         CUPTI_ACTIVITY_KIND_MARKER,
                                         CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION,
                                         CUPTI_ACTIVITY_KIND_RUNTIME};

}  // namespace

struct ActivitySession::Impl {
  explicit Impl(const ActivityOptions& options)
      : library(internal::OpenCupti(options.library)),
        decoder(ActivityDecoder::Load(options.library)) {
    buffers.buffer_bytes = (options.buffer_bytes + kAlignment - 1) / kAlignment * kAlignment;
    buffers.most_bytes = options.most_bytes;
    buffers.dropped_of = DroppedRecords;
  }
  ~Impl() { End(); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void Check(CUptiResult result, const char* call) const {
    internal::CheckCupti(result, ResultString, call);
  }

  void Begin() {
    Buffers* none = nullptr;
    if (!g_buffers.compare_exchange_strong(none, &buffers)) {
      Fail(ErrorCode::kInternal,
           "ActivitySession::Start: a session is already running; CUPTI allows one per process");
    }
    started = true;
    Check(RegisterCallbacks(OnBufferRequested, OnBufferCompleted),
          "cuptiActivityRegisterCallbacks");
    for (const CUpti_ActivityKind kind : kKinds) {
      Check(Enable(kind), "cuptiActivityEnable");
      ++enabled;
    }
  }

  /// CUPTI makes no callback after this call. When no kind was enabled, CUPTI is not detached,
  /// because that could end another profiler's session.
  void End() noexcept {
    if (!started) return;
    if (enabled > 0) {
      (void)FlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED);
      for (int i = 0; i < enabled; ++i) (void)Disable(kKinds[i]);
      (void)Finalize();
    }
    enabled = 0;
    started = false;
    g_buffers = nullptr;
  }

  ActivityTrace Stop() {
    if (!started)
      Fail(ErrorCode::kInternal, "ActivitySession::Stop: the session has already ended");
    Check(FlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED), "cuptiActivityFlushAll");
    ActivityCollector collector;
    {
      const std::scoped_lock lock(buffers.mutex);
      // Before End(), because CUPTI owns the names in the records.
      for (const FilledBuffer& filled : buffers.filled) {
        const auto* bytes = reinterpret_cast<const std::byte*>(filled.memory.get());
        decoder.Decode({bytes, filled.valid_bytes}, collector);
      }
      buffers.filled.clear();
    }
    std::size_t dropped = 0;
    if (DroppedRecords(nullptr, 0, &dropped) == CUPTI_SUCCESS) {
      buffers.dropped += static_cast<std::int64_t>(dropped);
    }
    collector.losses().dropped += buffers.dropped;
    End();
    return collector.Finish();
  }

  template <typename Function>
  Function* Get(const char* name) const {
    return library.Get<Function>(name);
  }

  DynamicLibrary library;
  ActivityDecoder decoder;
  decltype(::cuptiGetResultString)* ResultString =
      Get<decltype(::cuptiGetResultString)>("cuptiGetResultString");
  decltype(::cuptiActivityRegisterCallbacks)* RegisterCallbacks =
      Get<decltype(::cuptiActivityRegisterCallbacks)>("cuptiActivityRegisterCallbacks");
  decltype(::cuptiActivityEnable)* Enable =
      Get<decltype(::cuptiActivityEnable)>("cuptiActivityEnable");
  decltype(::cuptiActivityDisable)* Disable =
      Get<decltype(::cuptiActivityDisable)>("cuptiActivityDisable");
  decltype(::cuptiActivityFlushAll)* FlushAll =
      Get<decltype(::cuptiActivityFlushAll)>("cuptiActivityFlushAll");
  decltype(::cuptiActivityGetNumDroppedRecords)* DroppedRecords =
      Get<decltype(::cuptiActivityGetNumDroppedRecords)>("cuptiActivityGetNumDroppedRecords");
  decltype(::cuptiActivityPushExternalCorrelationId)* PushId =
      Get<decltype(::cuptiActivityPushExternalCorrelationId)>(
          "cuptiActivityPushExternalCorrelationId");
  decltype(::cuptiActivityPopExternalCorrelationId)* PopId =
      Get<decltype(::cuptiActivityPopExternalCorrelationId)>(
          "cuptiActivityPopExternalCorrelationId");
  decltype(::cuptiFinalize)* Finalize = Get<decltype(::cuptiFinalize)>("cuptiFinalize");
  Buffers buffers;
  bool started = false;
  int enabled = 0;  ///< of kKinds
};

ActivitySession::ActivitySession(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ActivitySession::~ActivitySession() = default;
ActivitySession::ActivitySession(ActivitySession&&) noexcept = default;

ActivitySession ActivitySession::Start(const ActivityOptions& options) {
  auto impl = std::make_unique<Impl>(options);
  impl->Begin();
  return ActivitySession(std::move(impl));
}

ActivityTrace ActivitySession::Stop() { return impl_->Stop(); }

ActivitySession::Segment::Segment(const ActivitySession& session, SegmentId id)
    : impl_(session.impl_.get()) {
  impl_->Check(impl_->PushId(CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0, id),
               "cuptiActivityPushExternalCorrelationId");
}

ActivitySession::Segment::~Segment() {
  std::uint64_t last = 0;
  (void)impl_->PopId(CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0, &last);
}

}  // namespace dbsp::runtime
