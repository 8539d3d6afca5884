// SPDX-License-Identifier: Apache-2.0
#include <cupti.h>

#include <map>
#include <mutex>

#include "runtime/dynamic_library.h"
#include "tests/emulated_gpu/emulated_runtime.h"

namespace dbsp::emulated_gpu {
namespace {

/// The fake library expects records from one thread, so a lock serialises them.
class Records {
 public:
  explicit Records(const std::string& library) : fake_(library, "no fake CUPTI") {}

  void Add(const char* name, const CUstream_st* stream, bool tied) {
    const std::scoped_lock guard(lock_);
    const std::uint32_t correlation = ++correlation_;
    std::uint64_t& clock = clock_[stream->device];
    clock += 1000;
    std::uint64_t id = 0;
    if (tied && top_id_(&id) != 0) {
      CUpti_ActivityExternalCorrelation tie{};
      tie.kind = CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION;
      tie.externalKind = CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0;
      tie.externalId = id;
      tie.correlationId = correlation;
      record_(&tie, sizeof(tie));
    }
    CUpti_ActivityKernel10 kernel{};
    kernel.kind = CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL;
    kernel.name = name;
    kernel.start = clock;
    kernel.end = clock + 1000;
    kernel.deviceId = static_cast<std::uint32_t>(stream->device);
    kernel.correlationId = correlation;
    record_(&kernel, sizeof(kernel));
  }

 private:
  std::mutex lock_;
  runtime::DynamicLibrary fake_;
  void (*record_)(const void*,
                  std::size_t) = fake_.Get<void(const void*, std::size_t)>("FakeCuptiRecord");
  int (*top_id_)(std::uint64_t*) = fake_.Get<int(std::uint64_t*)>("FakeCuptiTopId");
  std::uint32_t correlation_ = 0;
  std::map<int, std::uint64_t> clock_;
};

}  // namespace

void UseFakeCupti(const std::string& library) {
  const auto records = std::make_shared<Records>(library);
  EmulatedRuntime::Get().launched = [records](const char* name,
                                              const CUstream_st* stream,
                                              bool tied) { records->Add(name, stream, tied); };
}

}  // namespace dbsp::emulated_gpu
