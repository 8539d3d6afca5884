// SPDX-License-Identifier: Apache-2.0
#include "runtime/nvml/nvml_gpm.h"

#include <iterator>
#include <memory>

#include "core/error.h"
#include "runtime/nvml/nvml_api.h"

namespace dbsp::runtime {
namespace {

using internal::NvmlApi;
using internal::NvmlDevice;

using GpmSample = void*;  // nvmlGpmSample_t

struct GpmSupport {  // nvmlGpmSupport_t
  unsigned version;
  unsigned supported;
};
struct GpmMetric {  // nvmlGpmMetric_t
  unsigned id;
  int result;
  double value;
  const char* short_name;
  const char* long_name;
  const char* unit;
};
/// nvmlGpmMetricsGet_t. Its array has grown from 98 to 333 metrics (NVML_GPM_METRIC_MAX), so this
/// one is larger; `count` is the number of requested metrics.
struct MetricsGet {
  unsigned version;
  unsigned count;
  GpmSample before;
  GpmSample after;
  GpmMetric metrics[1024];
};
constexpr unsigned kGpmVersion = 1;  // NVML_GPM_SUPPORT_VERSION, NVML_GPM_METRICS_GET_VERSION

struct Named {
  unsigned id;  // nvmlGpmMetricId_t
  const char* name;
};
constexpr Named kMetrics[] = {{2, "sm_util"},
                              {3, "sm_occupancy"},
                              {5, "any_tensor_util"},
                              {7, "hmma_tensor_util"},
                              {10, "dram_bw_util"}};

struct Gpm {
  explicit Gpm(const std::string& name) : nvml(name) {}

  void Check(int result, const char* call) const { nvml.Check(result, call); }

  NvmlApi nvml;
  int (*support)(NvmlDevice, GpmSupport*) =
      nvml.library.Get<int(NvmlDevice, GpmSupport*)>("nvmlGpmQueryDeviceSupport");
  int (*allocate)(GpmSample*) = nvml.library.Get<int(GpmSample*)>("nvmlGpmSampleAlloc");
  int (*release)(GpmSample) = nvml.library.Get<int(GpmSample)>("nvmlGpmSampleFree");
  int (*take)(NvmlDevice,
              GpmSample) = nvml.library.Get<int(NvmlDevice, GpmSample)>("nvmlGpmSampleGet");
  int (*metrics)(MetricsGet*) = nvml.library.Get<int(MetricsGet*)>("nvmlGpmMetricsGet");
};

class Sample {
 public:
  explicit Sample(const Gpm& gpm) : gpm_(gpm) {
    gpm_.Check(gpm_.allocate(&sample_), "nvmlGpmSampleAlloc");
  }
  ~Sample() { (void)gpm_.release(sample_); }
  Sample(const Sample&) = delete;
  Sample& operator=(const Sample&) = delete;

  void Take(NvmlDevice device) { gpm_.Check(gpm_.take(device, sample_), "nvmlGpmSampleGet"); }
  [[nodiscard]] GpmSample get() const { return sample_; }

 private:
  const Gpm& gpm_;
  GpmSample sample_ = nullptr;
};

}  // namespace

std::map<std::string, double> MeasureGpm(const std::string& pci,
                                         const std::function<void()>& run,
                                         const std::string& library) {
  const Gpm gpm(library);
  NvmlDevice device = nullptr;
  gpm.Check(gpm.nvml.device_by_pci(pci.c_str(), &device), "nvmlDeviceGetHandleByPciBusId_v2");
  GpmSupport support{kGpmVersion, 0};
  gpm.Check(gpm.support(device, &support), "nvmlGpmQueryDeviceSupport");
  if (support.supported == 0) {
    Fail(ErrorCode::kUnavailable,
         "NVML: unavailable: {} has no GPM, which only Hopper and later GPUs have",
         pci);
  }
  Sample before(gpm);
  Sample after(gpm);
  before.Take(device);
  run();
  after.Take(device);
  const auto room = std::make_unique<MetricsGet>();
  MetricsGet& get = *room;
  get.version = kGpmVersion;
  get.count = std::size(kMetrics);
  get.before = before.get();
  get.after = after.get();
  for (unsigned i = 0; i < get.count; ++i) get.metrics[i].id = kMetrics[i].id;
  gpm.Check(gpm.metrics(&get), "nvmlGpmMetricsGet");
  std::map<std::string, double> values;
  for (unsigned i = 0; i < get.count; ++i) {
    if (get.metrics[i].result == 0) values[kMetrics[i].name] = get.metrics[i].value;
  }
  return values;
}

}  // namespace dbsp::runtime
