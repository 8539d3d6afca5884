// SPDX-License-Identifier: Apache-2.0
#include "runtime/cupti/cupti_counters.h"

#include <cupti.h>
#include <cupti_profiler_host.h>

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "runtime/cupti/cupti_check.h"

namespace dbsp::runtime {
namespace {

using HostObject = CUpti_Profiler_Host_Object;

std::vector<const char*> Pointers(const std::vector<std::string>& names) {
  std::vector<const char*> pointers;
  for (const std::string& name : names) pointers.push_back(name.c_str());
  return pointers;
}

}  // namespace

struct CounterHost::Api {
  explicit Api(const std::string& name) : library(internal::OpenCupti(name)) {}

  void Check(CUptiResult result, const char* call) const {
    internal::CheckCupti(result, ResultString, call);
  }

  /// CUPTI's host object for one chip.
  class Session {
   public:
    Session(const Api& api, const std::string& chip, const std::vector<std::uint8_t>& availability)
        : api_(api) {
      CUpti_Profiler_Host_Initialize_Params params{};
      params.structSize = CUpti_Profiler_Host_Initialize_Params_STRUCT_SIZE;
      params.profilerType = CUPTI_PROFILER_TYPE_RANGE_PROFILER;
      params.pChipName = chip.c_str();
      params.pCounterAvailabilityImage = availability.empty() ? nullptr : availability.data();
      const CUptiResult result = api.Initialize(&params);
      if (result == CUPTI_ERROR_INVALID_CHIP_NAME) {
        Fail(ErrorCode::kInvalidArgument, "CUPTI does not support the chip '{}'", chip);
      }
      api.Check(result, "cuptiProfilerHostInitialize");
      object_ = params.pHostObject;
    }
    ~Session() {
      CUpti_Profiler_Host_Deinitialize_Params params{};
      params.structSize = CUpti_Profiler_Host_Deinitialize_Params_STRUCT_SIZE;
      params.pHostObject = object_;
      (void)api_.Deinitialize(&params);
    }
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    [[nodiscard]] HostObject* get() const { return object_; }
    [[nodiscard]] CUptiResult Add(const std::vector<std::string>& metrics) const {
      std::vector<const char*> names = Pointers(metrics);
      CUpti_Profiler_Host_ConfigAddMetrics_Params params{};
      params.structSize = CUpti_Profiler_Host_ConfigAddMetrics_Params_STRUCT_SIZE;
      params.pHostObject = object_;
      params.ppMetricNames = names.data();
      params.numMetrics = names.size();
      return api_.AddMetrics(&params);
    }

   private:
    const Api& api_;
    HostObject* object_ = nullptr;
  };

  [[nodiscard]] std::vector<std::uint8_t> ConfigImage(const Session& session) const {
    CUpti_Profiler_Host_GetConfigImageSize_Params size{};
    size.structSize = CUpti_Profiler_Host_GetConfigImageSize_Params_STRUCT_SIZE;
    size.pHostObject = session.get();
    Check(GetConfigImageSize(&size), "cuptiProfilerHostGetConfigImageSize");
    std::vector<std::uint8_t> image(size.configImageSize);
    CUpti_Profiler_Host_GetConfigImage_Params params{};
    params.structSize = CUpti_Profiler_Host_GetConfigImage_Params_STRUCT_SIZE;
    params.pHostObject = session.get();
    params.configImageSize = image.size();
    params.pConfigImage = image.data();
    Check(GetConfigImage(&params), "cuptiProfilerHostGetConfigImage");
    return image;
  }

  template <typename Function>
  Function* Get(const char* name) const {
    return library.Get<Function>(name);
  }

  DynamicLibrary library;
  decltype(::cuptiGetResultString)* ResultString =
      Get<decltype(::cuptiGetResultString)>("cuptiGetResultString");
  decltype(::cuptiProfilerHostInitialize)* Initialize =
      Get<decltype(::cuptiProfilerHostInitialize)>("cuptiProfilerHostInitialize");
  decltype(::cuptiProfilerHostDeinitialize)* Deinitialize =
      Get<decltype(::cuptiProfilerHostDeinitialize)>("cuptiProfilerHostDeinitialize");
  decltype(::cuptiProfilerHostGetSupportedChips)* GetSupportedChips =
      Get<decltype(::cuptiProfilerHostGetSupportedChips)>("cuptiProfilerHostGetSupportedChips");
  decltype(::cuptiProfilerHostGetBaseMetrics)* GetBaseMetrics =
      Get<decltype(::cuptiProfilerHostGetBaseMetrics)>("cuptiProfilerHostGetBaseMetrics");
  decltype(::cuptiProfilerHostConfigAddMetrics)* AddMetrics =
      Get<decltype(::cuptiProfilerHostConfigAddMetrics)>("cuptiProfilerHostConfigAddMetrics");
  decltype(::cuptiProfilerHostGetConfigImageSize)* GetConfigImageSize =
      Get<decltype(::cuptiProfilerHostGetConfigImageSize)>("cuptiProfilerHostGetConfigImageSize");
  decltype(::cuptiProfilerHostGetConfigImage)* GetConfigImage =
      Get<decltype(::cuptiProfilerHostGetConfigImage)>("cuptiProfilerHostGetConfigImage");
  decltype(::cuptiProfilerHostGetNumOfPasses)* GetNumOfPasses =
      Get<decltype(::cuptiProfilerHostGetNumOfPasses)>("cuptiProfilerHostGetNumOfPasses");
  decltype(::cuptiProfilerHostEvaluateToGpuValues)* EvaluateToGpuValues =
      Get<decltype(::cuptiProfilerHostEvaluateToGpuValues)>("cuptiProfilerHostEvaluateToGpuValues");
};

CounterHost::CounterHost(std::unique_ptr<Api> api) : api_(std::move(api)) {}
CounterHost::~CounterHost() = default;
CounterHost::CounterHost(CounterHost&&) noexcept = default;
CounterHost& CounterHost::operator=(CounterHost&&) noexcept = default;

CounterHost CounterHost::Load(const std::string& library) {
  return CounterHost(std::make_unique<Api>(library));
}

std::vector<std::string> CounterHost::Chips() const {
  CUpti_Profiler_Host_GetSupportedChips_Params params{};
  params.structSize = CUpti_Profiler_Host_GetSupportedChips_Params_STRUCT_SIZE;
  api_->Check(api_->GetSupportedChips(&params), "cuptiProfilerHostGetSupportedChips");
  return {params.ppChipNames, params.ppChipNames + params.numChips};
}

std::vector<std::string> CounterHost::Metrics(const std::string& chip) const {
  const Api::Session session(*api_, chip, {});
  std::vector<std::string> names;
  for (int type = 0; type < CUPTI_METRIC_TYPE__COUNT; ++type) {
    CUpti_Profiler_Host_GetBaseMetrics_Params params{};
    params.structSize = CUpti_Profiler_Host_GetBaseMetrics_Params_STRUCT_SIZE;
    params.pHostObject = session.get();
    params.metricType = static_cast<CUpti_MetricType>(type);
    api_->Check(api_->GetBaseMetrics(&params), "cuptiProfilerHostGetBaseMetrics");
    names.insert(names.end(), params.ppMetricNames, params.ppMetricNames + params.numMetrics);
  }
  std::sort(names.begin(), names.end());
  return names;
}

CounterPlan CounterHost::Plan(const std::string& chip,
                              const std::vector<std::string>& metrics,
                              std::vector<std::uint8_t> availability) const {
  if (metrics.empty()) Fail(ErrorCode::kInvalidArgument, "the list of counters is empty");
  const Api::Session session(*api_, chip, availability);
  const CUptiResult added = session.Add(metrics);
  if (added == CUPTI_ERROR_INVALID_PARAMETER || added == CUPTI_ERROR_INVALID_METRIC_NAME) {
    // CUPTI rejects the whole list. Adding the metrics one by one finds the cause.
    for (const std::string& metric : metrics) {
      if (Api::Session(*api_, chip, availability).Add({metric}) != CUPTI_SUCCESS) {
        Fail(ErrorCode::kInvalidArgument, "{} cannot count '{}'", chip, metric);
      }
    }
  }
  api_->Check(added, "cuptiProfilerHostConfigAddMetrics");
  CounterPlan plan{chip, metrics, std::move(availability), api_->ConfigImage(session), 0};
  CUpti_Profiler_Host_GetNumOfPasses_Params params{};
  params.structSize = CUpti_Profiler_Host_GetNumOfPasses_Params_STRUCT_SIZE;
  params.configImageSize = plan.config_image.size();
  params.pConfigImage = plan.config_image.data();
  api_->Check(api_->GetNumOfPasses(&params), "cuptiProfilerHostGetNumOfPasses");
  plan.passes = static_cast<int>(params.numOfPasses);
  return plan;
}

std::vector<double> CounterHost::Evaluate(const CounterPlan& plan,
                                          std::span<const std::uint8_t> counter_data,
                                          std::size_t range) const {
  const Api::Session session(*api_, plan.chip, plan.availability);
  std::vector<const char*> names = Pointers(plan.metrics);
  std::vector<double> values(names.size());
  CUpti_Profiler_Host_EvaluateToGpuValues_Params params{};
  params.structSize = CUpti_Profiler_Host_EvaluateToGpuValues_Params_STRUCT_SIZE;
  params.pHostObject = session.get();
  params.pCounterDataImage = counter_data.data();
  params.counterDataImageSize = counter_data.size();
  params.rangeIndex = range;
  params.ppMetricNames = names.data();
  params.numMetrics = names.size();
  params.pMetricValues = values.data();
  api_->Check(api_->EvaluateToGpuValues(&params), "cuptiProfilerHostEvaluateToGpuValues");
  return values;
}

}  // namespace dbsp::runtime
