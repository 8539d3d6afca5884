// SPDX-License-Identifier: Apache-2.0
// RangeProfiler of runtime/cupti/cupti_counters.h.
#include <cupti.h>
#include <cupti_profiler_target.h>
#include <cupti_range_profiler.h>
#include <cupti_target.h>

#include <utility>

#include "core/error.h"
#include "runtime/cupti/cupti_check.h"
#include "runtime/cupti/cupti_counters.h"

namespace dbsp::runtime {
namespace {

/// Limit of passes, so that the loop ends even when CUPTI never reports the last pass.
constexpr int kMostPasses = 1000;

/// The calling thread's context and the ordinal of its device.
std::pair<CUcontext, int> CurrentContext(const std::string& cuda_library) {
  const DynamicLibrary driver(cuda_library, "no NVIDIA driver");
  CUcontext context = nullptr;
  const auto current = driver.Get<decltype(::cuCtxGetCurrent)>("cuCtxGetCurrent");
  if (current(&context) != CUDA_SUCCESS || context == nullptr) {
    Fail(ErrorCode::kUnavailable,
         "counters: this thread has no CUDA context; use the device before counting");
  }
  CUdevice device = 0;
  if (driver.Get<int(CUdevice*)>("cuCtxGetDevice")(&device) != CUDA_SUCCESS) {
    Fail(ErrorCode::kUnavailable, "counters: cuCtxGetDevice failed");
  }
  return {context, device};
}

}  // namespace

struct RangeProfiler::Impl {
  Impl(const std::string& cupti_library, const std::string& cuda_library)
      : library(internal::OpenCupti(cupti_library)),
        host(CounterHost::Load(cupti_library)),
        current(CurrentContext(cuda_library)) {}
  ~Impl() {
    if (object == nullptr) return;
    CUpti_RangeProfiler_Disable_Params params{};
    params.structSize = CUpti_RangeProfiler_Disable_Params_STRUCT_SIZE;
    params.pRangeProfilerObject = object;
    (void)Disable(&params);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void Check(CUptiResult result, const char* call) const {
    internal::CheckCupti(result, ResultString, call);
  }

  [[nodiscard]] std::string Chip() const {
    CUpti_Device_GetChipName_Params params{};
    params.structSize = CUpti_Device_GetChipName_Params_STRUCT_SIZE;
    params.deviceIndex = static_cast<std::size_t>(current.second);
    Check(GetChipName(&params), "cuptiDeviceGetChipName");
    return params.pChipName;
  }

  /// The device's counter availability image. Empty when the library has no such call, which is
  /// deprecated in CUPTI 13: plans are then made for the chip in general.
  [[nodiscard]] std::vector<std::uint8_t> Availability() const {
    if (GetAvailability == nullptr) return {};
    CUpti_Profiler_GetCounterAvailability_Params params{};
    params.structSize = CUpti_Profiler_GetCounterAvailability_Params_STRUCT_SIZE;
    params.ctx = current.first;
    const CUptiResult sized = GetAvailability(&params);
    if (sized == CUPTI_ERROR_NOT_SUPPORTED || sized == CUPTI_ERROR_API_NOT_IMPLEMENTED) return {};
    Check(sized, "cuptiProfilerGetCounterAvailability");
    std::vector<std::uint8_t> image(params.counterAvailabilityImageSize);
    params.pCounterAvailabilityImage = image.data();
    Check(GetAvailability(&params), "cuptiProfilerGetCounterAvailability");
    return image;
  }

  void Begin(const std::vector<std::string>& metrics) {
    CUpti_Profiler_Initialize_Params initialize{};
    initialize.structSize = CUpti_Profiler_Initialize_Params_STRUCT_SIZE;
    // This call comes first: CUPTI 13.0 crashes when it is asked for the chip's name before.
    Check(Initialize(&initialize), "cuptiProfilerInitialize");
    plan = host.Plan(Chip(), metrics, Availability());
    CUpti_RangeProfiler_Enable_Params enable{};
    enable.structSize = CUpti_RangeProfiler_Enable_Params_STRUCT_SIZE;
    enable.ctx = current.first;
    Check(Enable(&enable), "cuptiRangeProfilerEnable");
    object = enable.pRangeProfilerObject;
  }

  /// Allocates the counter data of one range and configures its metrics.
  void Configure() {
    std::vector<const char*> names;
    for (const std::string& metric : plan.metrics) names.push_back(metric.c_str());
    CUpti_RangeProfiler_GetCounterDataSize_Params size{};
    size.structSize = CUpti_RangeProfiler_GetCounterDataSize_Params_STRUCT_SIZE;
    size.pRangeProfilerObject = object;
    size.pMetricNames = names.data();
    size.numMetrics = names.size();
    size.maxNumOfRanges = 1;
    size.maxNumRangeTreeNodes = 1;
    Check(GetCounterDataSize(&size), "cuptiRangeProfilerGetCounterDataSize");
    counter_data.assign(size.counterDataSize, 0);
    CUpti_RangeProfiler_CounterDataImage_Initialize_Params image{};
    image.structSize = CUpti_RangeProfiler_CounterDataImage_Initialize_Params_STRUCT_SIZE;
    image.pRangeProfilerObject = object;
    image.counterDataSize = counter_data.size();
    image.pCounterData = counter_data.data();
    Check(InitializeCounterData(&image), "cuptiRangeProfilerCounterDataImageInitialize");
    CUpti_RangeProfiler_SetConfig_Params config{};
    config.structSize = CUpti_RangeProfiler_SetConfig_Params_STRUCT_SIZE;
    config.pRangeProfilerObject = object;
    config.configSize = plan.config_image.size();
    config.pConfig = plan.config_image.data();
    config.counterDataImageSize = counter_data.size();
    config.pCounterDataImage = counter_data.data();
    // User range and user replay repeat the caller's whole run. A kernel replay would hang, because
    // kernels of a collective wait for those of other devices.
    config.range = CUPTI_UserRange;
    config.replayMode = CUPTI_UserReplay;
    config.maxRangesPerPass = 1;
    config.numNestingLevels = 1;
    config.minNestingLevel = 1;
    config.targetNestingLevel = 1;
    Check(SetConfig(&config), "cuptiRangeProfilerSetConfig");
  }

  template <typename Params>
  void Call(CUptiResult (*call)(Params*), Params params, std::size_t size, const char* name) {
    params.structSize = size;
    params.pRangeProfilerObject = object;
    Check(call(&params), name);
  }

  /// Runs one pass. Returns true when it was the last.
  bool Pass(const std::function<void()>& run) {
    Call(Start,
         CUpti_RangeProfiler_Start_Params{},
         CUpti_RangeProfiler_Start_Params_STRUCT_SIZE,
         "cuptiRangeProfilerStart");
    CUpti_RangeProfiler_PushRange_Params push{};
    push.pRangeName = "dbsp";
    Call(PushRange,
         push,
         CUpti_RangeProfiler_PushRange_Params_STRUCT_SIZE,
         "cuptiRangeProfilerPushRange");
    try {
      run();
    } catch (...) {
      // With an open range the profiler could not be disabled.
      CUpti_RangeProfiler_PopRange_Params pop{};
      pop.structSize = CUpti_RangeProfiler_PopRange_Params_STRUCT_SIZE;
      pop.pRangeProfilerObject = object;
      (void)PopRange(&pop);
      CUpti_RangeProfiler_Stop_Params stop = StopParams();
      (void)Stop(&stop);
      throw;
    }
    Call(PopRange,
         CUpti_RangeProfiler_PopRange_Params{},
         CUpti_RangeProfiler_PopRange_Params_STRUCT_SIZE,
         "cuptiRangeProfilerPopRange");
    CUpti_RangeProfiler_Stop_Params stop = StopParams();
    Check(Stop(&stop), "cuptiRangeProfilerStop");
    return stop.isAllPassSubmitted != 0;
  }

  [[nodiscard]] CUpti_RangeProfiler_Stop_Params StopParams() const {
    CUpti_RangeProfiler_Stop_Params stop{};
    stop.structSize = CUpti_RangeProfiler_Stop_Params_STRUCT_SIZE;
    stop.pRangeProfilerObject = object;
    return stop;
  }

  std::map<std::string, double> Measure(const std::function<void()>& run) {
    Configure();
    int passes = 1;
    while (!Pass(run)) {
      if (++passes > kMostPasses) {
        Fail(ErrorCode::kUnavailable,
             "CUPTI: unavailable: counting did not end after {} passes",
             kMostPasses);
      }
    }
    CUpti_RangeProfiler_DecodeData_Params decode{};
    decode.structSize = CUpti_RangeProfiler_DecodeData_Params_STRUCT_SIZE;
    decode.pRangeProfilerObject = object;
    Check(DecodeData(&decode), "cuptiRangeProfilerDecodeData");
    if (decode.numOfRangeDropped > 0) {
      Fail(ErrorCode::kUnavailable, "CUPTI: unavailable: CUPTI dropped the counts of the range");
    }
    const std::vector<double> values = host.Evaluate(plan, counter_data, 0);
    std::map<std::string, double> named;
    for (std::size_t i = 0; i < values.size(); ++i) named[plan.metrics[i]] = values[i];
    return named;
  }

  template <typename Function>
  Function* Get(const char* name) const {
    return library.Get<Function>(name);
  }

  DynamicLibrary library;
  CounterHost host;
  std::pair<CUcontext, int> current;
  decltype(::cuptiGetResultString)* ResultString =
      Get<decltype(::cuptiGetResultString)>("cuptiGetResultString");
  decltype(::cuptiProfilerInitialize)* Initialize =
      Get<decltype(::cuptiProfilerInitialize)>("cuptiProfilerInitialize");
  decltype(::cuptiDeviceGetChipName)* GetChipName =
      Get<decltype(::cuptiDeviceGetChipName)>("cuptiDeviceGetChipName");
  // Its type is written out, because a header may warn of the deprecated function.
  CUptiResult (*GetAvailability)(CUpti_Profiler_GetCounterAvailability_Params*) =
      library.TryGet<CUptiResult(CUpti_Profiler_GetCounterAvailability_Params*)>(
          "cuptiProfilerGetCounterAvailability");
  decltype(::cuptiRangeProfilerEnable)* Enable =
      Get<decltype(::cuptiRangeProfilerEnable)>("cuptiRangeProfilerEnable");
  decltype(::cuptiRangeProfilerDisable)* Disable =
      Get<decltype(::cuptiRangeProfilerDisable)>("cuptiRangeProfilerDisable");
  decltype(::cuptiRangeProfilerGetCounterDataSize)* GetCounterDataSize =
      Get<decltype(::cuptiRangeProfilerGetCounterDataSize)>("cuptiRangeProfilerGetCounterDataSize");
  decltype(::cuptiRangeProfilerCounterDataImageInitialize)* InitializeCounterData =
      Get<decltype(::cuptiRangeProfilerCounterDataImageInitialize)>(
          "cuptiRangeProfilerCounterDataImageInitialize");
  decltype(::cuptiRangeProfilerSetConfig)* SetConfig =
      Get<decltype(::cuptiRangeProfilerSetConfig)>("cuptiRangeProfilerSetConfig");
  decltype(::cuptiRangeProfilerStart)* Start =
      Get<decltype(::cuptiRangeProfilerStart)>("cuptiRangeProfilerStart");
  decltype(::cuptiRangeProfilerStop)* Stop =
      Get<decltype(::cuptiRangeProfilerStop)>("cuptiRangeProfilerStop");
  decltype(::cuptiRangeProfilerPushRange)* PushRange =
      Get<decltype(::cuptiRangeProfilerPushRange)>("cuptiRangeProfilerPushRange");
  decltype(::cuptiRangeProfilerPopRange)* PopRange =
      Get<decltype(::cuptiRangeProfilerPopRange)>("cuptiRangeProfilerPopRange");
  decltype(::cuptiRangeProfilerDecodeData)* DecodeData =
      Get<decltype(::cuptiRangeProfilerDecodeData)>("cuptiRangeProfilerDecodeData");
  CounterPlan plan;
  CUpti_RangeProfiler_Object* object = nullptr;
  std::vector<std::uint8_t> counter_data;
};

RangeProfiler::RangeProfiler(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RangeProfiler::~RangeProfiler() = default;
RangeProfiler::RangeProfiler(RangeProfiler&&) noexcept = default;

RangeProfiler RangeProfiler::Start(const std::vector<std::string>& metrics,
                                   const std::string& cupti_library,
                                   const std::string& cuda_library) {
  auto impl = std::make_unique<Impl>(cupti_library, cuda_library);
  impl->Begin(metrics);
  return RangeProfiler(std::move(impl));
}

const CounterPlan& RangeProfiler::plan() const { return impl_->plan; }

std::map<std::string, double> RangeProfiler::Measure(const std::function<void()>& run) {
  return impl_->Measure(run);
}

}  // namespace dbsp::runtime
