// SPDX-License-Identifier: Apache-2.0
// Converts the records of cupti.h to those of runtime/cupti/activity.h. The structs are those of
// the header of this build. Other versions of CUPTI append fields or lack the last ones, so records
// are longer or shorter: the opened library says how long. Kernel records have 208 bytes in CUPTI
// 12, 216 in 13.0 (CUpti_ActivityKernel10), and a new struct in 13.2, 13.3 and 13.4.
#include <cupti.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <utility>

#include "runtime/cupti/cupti_activity.h"
#include "runtime/cupti/cupti_check.h"

namespace dbsp::runtime {
namespace {

std::string TextOf(const char* text) { return text == nullptr ? "" : text; }

Interval TimeOf(std::uint64_t start, std::uint64_t end) {
  return {static_cast<std::int64_t>(start), static_cast<std::int64_t>(end)};
}

const char* CopyKindName(std::uint8_t kind) {
  switch (kind) {
    case CUPTI_ACTIVITY_MEMCPY_KIND_HTOD:
      return "host to device";
    case CUPTI_ACTIVITY_MEMCPY_KIND_DTOH:
      return "device to host";
    case CUPTI_ACTIVITY_MEMCPY_KIND_DTOD:
      return "device to device";
    case CUPTI_ACTIVITY_MEMCPY_KIND_HTOH:
      return "host to host";
    case CUPTI_ACTIVITY_MEMCPY_KIND_PTOP:
      return "peer to peer";
    default:
      return "other";
  }
}

void AddKernel(const CUpti_ActivityKernel10& record, ActivityCollector& collector) {
  KernelRecord kernel;
  kernel.name = TextOf(record.name);
  kernel.time = TimeOf(record.start, record.end);
  kernel.device = record.deviceId;
  kernel.stream = record.streamId;
  kernel.correlation = record.correlationId;
  kernel.grid[0] = record.gridX;
  kernel.grid[1] = record.gridY;
  kernel.grid[2] = record.gridZ;
  kernel.block[0] = record.blockX;
  kernel.block[1] = record.blockY;
  kernel.block[2] = record.blockZ;
  kernel.registers_per_thread = record.registersPerThread;
  kernel.shared_bytes = std::int64_t{record.staticSharedMemory} + record.dynamicSharedMemory;
  collector.Add(std::move(kernel));
}

/// For copies, peer copies and sets, whose records have the same field names.
template <typename Record>
void AddCopy(const Record& record, const char* kind, ActivityCollector& collector) {
  CopyRecord copy;
  copy.kind = kind;
  copy.time = TimeOf(record.start, record.end);
  copy.device = record.deviceId;
  copy.stream = record.streamId;
  copy.correlation = record.correlationId;
  copy.bytes = static_cast<std::int64_t>(record.bytes);
  collector.Add(std::move(copy));
}

void AddMarker(const CUpti_ActivityMarker2& record, ActivityCollector& collector) {
  const auto flags = static_cast<unsigned>(record.flags);
  const bool point = (flags & CUPTI_ACTIVITY_FLAG_MARKER_INSTANTANEOUS) != 0;
  const bool start = point || (flags & CUPTI_ACTIVITY_FLAG_MARKER_START) != 0;
  const bool end = point || (flags & CUPTI_ACTIVITY_FLAG_MARKER_END) != 0;
  if (!start && !end) {
    ++collector.losses().other_kinds;
    return;
  }
  const bool on_thread = record.objectKind == CUPTI_ACTIVITY_OBJECT_THREAD;
  collector.Add(ActivityCollector::MarkerEvent{
      .id = record.id,
      .start = start,
      .end = end,
      .time_ns = static_cast<std::int64_t>(record.timestamp),
      .thread = on_thread ? static_cast<std::uint32_t>(record.objectId.pt.threadId) : 0,
      .name = TextOf(record.name),
      .domain = TextOf(record.domain)});
}

/// Size of a record of the header in bytes; 0 for kinds that a session does not enable.
std::size_t HeaderSizeOf(CUpti_ActivityKind kind) {
  switch (kind) {
    case CUPTI_ACTIVITY_KIND_KERNEL:
    case CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL:
      return sizeof(CUpti_ActivityKernel10);
    case CUPTI_ACTIVITY_KIND_MEMCPY:
      return sizeof(CUpti_ActivityMemcpy6);
    case CUPTI_ACTIVITY_KIND_MEMCPY2:
      return sizeof(CUpti_ActivityMemcpyPtoP4);
    case CUPTI_ACTIVITY_KIND_MEMSET:
      return sizeof(CUpti_ActivityMemset4);
    case CUPTI_ACTIVITY_KIND_MARKER:
      return sizeof(CUpti_ActivityMarker2);
    case CUPTI_ACTIVITY_KIND_RUNTIME:
    case CUPTI_ACTIVITY_KIND_DRIVER:
      return sizeof(CUpti_ActivityAPI);
    case CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION:
      return sizeof(CUpti_ActivityExternalCorrelation);
    default:
      return 0;
  }
}

/// A record of `bytes` bytes. Fields that it does not have are 0.
template <typename Record>
Record As(const CUpti_Activity* record, std::size_t bytes) {
  Record whole{};
  std::memcpy(&whole, record, std::min(bytes, sizeof(Record)));
  return whole;
}

void AddRecord(const CUpti_Activity* record, std::size_t bytes, ActivityCollector& collector) {
  switch (record->kind) {
    case CUPTI_ACTIVITY_KIND_KERNEL:
    case CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL:
      return AddKernel(As<CUpti_ActivityKernel10>(record, bytes), collector);
    case CUPTI_ACTIVITY_KIND_MEMCPY: {
      const auto copy = As<CUpti_ActivityMemcpy6>(record, bytes);
      return AddCopy(copy, CopyKindName(copy.copyKind), collector);
    }
    case CUPTI_ACTIVITY_KIND_MEMCPY2:
      return AddCopy(As<CUpti_ActivityMemcpyPtoP4>(record, bytes), "peer to peer", collector);
    case CUPTI_ACTIVITY_KIND_MEMSET:
      return AddCopy(As<CUpti_ActivityMemset4>(record, bytes), "set", collector);
    case CUPTI_ACTIVITY_KIND_MARKER:
      return AddMarker(As<CUpti_ActivityMarker2>(record, bytes), collector);
    case CUPTI_ACTIVITY_KIND_RUNTIME:
    case CUPTI_ACTIVITY_KIND_DRIVER: {
      const auto call = As<CUpti_ActivityAPI>(record, bytes);
      return collector.AddCall(call.correlationId, call.threadId, TimeOf(call.start, call.end));
    }
    case CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION: {
      const auto tie = As<CUpti_ActivityExternalCorrelation>(record, bytes);
      // Other external kinds belong to other libraries in this process.
      if (tie.externalKind == CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0) {
        collector.AddSegment(tie.correlationId, tie.externalId);
      }
      return;
    }
    default:
      ++collector.losses().other_kinds;
  }
}

}  // namespace

struct ActivityDecoder::Api {
  explicit Api(const std::string& name) : library(internal::OpenCupti(name)) {
    for (std::size_t kind = 0; kind < sizes.size(); ++kind) {
      const auto known = HeaderSizeOf(static_cast<CUpti_ActivityKind>(kind));
      if (known == 0) continue;
      const std::size_t found = LibrarySizeOf(static_cast<CUpti_ActivityKind>(kind));
      sizes[kind] = found == 0 ? known : found;
    }
  }

  /// Size of the library's records: the distance to the next record. 0 when there is none.
  [[nodiscard]] std::size_t LibrarySizeOf(CUpti_ActivityKind kind) const {
    // Wherever the next record begins, it is one of a known kind that fits.
    constexpr std::uint64_t kFiller = CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION;
    std::array<std::uint64_t, 512> memory{};
    memory.fill(kFiller << 32 | kFiller);
    auto* begin = reinterpret_cast<std::uint8_t*>(memory.data());
    std::memcpy(begin, &kind, sizeof(kind));
    auto* record = reinterpret_cast<CUpti_Activity*>(begin);
    if (GetNextRecord(begin, sizeof(memory), &record) != CUPTI_SUCCESS) return 0;
    return static_cast<std::size_t>(reinterpret_cast<std::uint8_t*>(record) - begin);
  }

  /// Size of a record of this library; 0 for kinds that a session does not enable.
  [[nodiscard]] std::size_t SizeOf(CUpti_ActivityKind kind) const {
    const auto number = static_cast<std::size_t>(kind);
    return number < sizes.size() ? sizes[number] : 0;
  }

  DynamicLibrary library;
  decltype(::cuptiActivityGetNextRecord)* GetNextRecord =
      library.Get<decltype(::cuptiActivityGetNextRecord)>("cuptiActivityGetNextRecord");
  std::array<std::size_t, 64> sizes{};  ///< by kind
};

ActivityDecoder::ActivityDecoder(std::unique_ptr<Api> api) : api_(std::move(api)) {}
ActivityDecoder::~ActivityDecoder() = default;
ActivityDecoder::ActivityDecoder(ActivityDecoder&&) noexcept = default;
ActivityDecoder& ActivityDecoder::operator=(ActivityDecoder&&) noexcept = default;

ActivityDecoder ActivityDecoder::Load(const std::string& library) {
  return ActivityDecoder(std::make_unique<Api>(library));
}

void ActivityDecoder::Decode(std::span<const std::byte> buffer,
                             ActivityCollector& collector) const {
  // The function takes a non-const buffer but does not write to it.
  auto* begin = const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(buffer.data()));
  CUpti_Activity* record = nullptr;
  std::size_t read_to = 0;  // end of the last record whose size is known
  bool size_known = true;
  CUptiResult result = CUPTI_SUCCESS;
  while ((result = api_->GetNextRecord(begin, buffer.size(), &record)) == CUPTI_SUCCESS) {
    const auto at = static_cast<std::size_t>(reinterpret_cast<std::uint8_t*>(record) - begin);
    const std::size_t bytes = api_->SizeOf(record->kind);
    size_known = bytes != 0;
    read_to = at + bytes;
    AddRecord(record, bytes, collector);
  }
  // At the end CUPTI returns MAX_LIMIT_REACHED, also when the last record is incomplete. At an
  // unknown kind it returns another result.
  const bool stopped_early = result != CUPTI_ERROR_MAX_LIMIT_REACHED;
  if (read_to < buffer.size() && (size_known || stopped_early)) {
    collector.losses().undecoded_bytes += static_cast<std::int64_t>(buffer.size() - read_to);
  }
}

}  // namespace dbsp::runtime
