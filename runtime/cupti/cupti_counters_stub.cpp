// SPDX-License-Identifier: Apache-2.0
// Counters of a build without cupti.h: CMake sets DBSP_NOT_BUILT to the reason.
#include "core/error.h"
#include "runtime/cupti/cupti_counters.h"

namespace dbsp::runtime {

struct CounterHost::Api {};
struct RangeProfiler::Impl {
  CounterPlan plan;
};

CounterHost::CounterHost(std::unique_ptr<Api> api) : api_(std::move(api)) {}
CounterHost::~CounterHost() = default;
CounterHost::CounterHost(CounterHost&&) noexcept = default;
CounterHost& CounterHost::operator=(CounterHost&&) noexcept = default;

CounterHost CounterHost::Load(const std::string&) {
  Fail(ErrorCode::kUnavailable, "CUPTI: unavailable: not built: {}", DBSP_NOT_BUILT);
}

RangeProfiler::RangeProfiler(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RangeProfiler::~RangeProfiler() = default;
RangeProfiler::RangeProfiler(RangeProfiler&&) noexcept = default;

RangeProfiler RangeProfiler::Start(const std::vector<std::string>&,
                                   const std::string&,
                                   const std::string&) {
  Fail(ErrorCode::kUnavailable, "CUPTI: unavailable: not built: {}", DBSP_NOT_BUILT);
}

// Load() and Start() never return, so no object exists for these calls.
std::vector<std::string> CounterHost::Chips() const { return {}; }
std::vector<std::string> CounterHost::Metrics(const std::string&) const { return {}; }
CounterPlan CounterHost::Plan(const std::string&,
                              const std::vector<std::string>&,
                              std::vector<std::uint8_t>) const {
  return {};
}
std::vector<double> CounterHost::Evaluate(const CounterPlan&,
                                          std::span<const std::uint8_t>,
                                          std::size_t) const {
  return {};
}
const CounterPlan& RangeProfiler::plan() const { return impl_->plan; }
std::map<std::string, double> RangeProfiler::Measure(const std::function<void()>&) { return {}; }

}  // namespace dbsp::runtime
