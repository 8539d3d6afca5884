// SPDX-License-Identifier: Apache-2.0
// Counters: CounterHost with the real libcupti if it is installed, which needs no GPU, and all
// sources with fake libraries.
#include "runtime/cupti/counters.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <stdexcept>

#include "build_config.h"
#include "runtime/cupti/cupti_counters.h"
#include "runtime/dynamic_library.h"
#include "runtime/nvml/nvml_gpm.h"
#include "tests/core/expect_error.h"
#include "tests/runtime/fake_vendor.h"

namespace dbsp::runtime {
namespace {

using dbsp::testing::EnvironmentVariable;
using dbsp::testing::ExpectError;
using dbsp::testing::FakeLibrary;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

/// Folder of a libcupti with its libnvperf_host; nothing without one.
std::optional<std::string> RealLibrary() {
  for (const char* name : {"libcupti.so.13",
                           DBSP_CUPTI_INCLUDE "/../lib/libcupti.so.13",
                           DBSP_CUPTI_INCLUDE "/../lib64/libcupti.so.13"}) {
    if (void* handle = dlopen(name, RTLD_NOW | RTLD_LOCAL)) {
      dlclose(handle);
      return name;
    }
  }
  return std::nullopt;
}

class RealCounterHostTest : public ::testing::Test {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "libcupti opens its host library with RTLD_DEEPBIND, which sanitizers refuse";
#endif
    if (!DBSP_HAVE_CUPTI) GTEST_SKIP() << "this build has no CUPTI";
    const std::optional<std::string> real = RealLibrary();
    if (!real) GTEST_SKIP() << "no libcupti.so.13 on this machine";
    host_.emplace(CounterHost::Load(*real));
  }
  std::optional<CounterHost> host_;
};

TEST_F(RealCounterHostTest, TheDefaultCountersTakeOnePassOnAmpereAndHopper) {
  EXPECT_THAT(host_->Chips(), AllOf(Contains("GA100"), Contains("GH100")));
  for (const char* chip : {"GA100", "GH100"}) {
    const CounterPlan plan = host_->Plan(chip, DefaultCounters());
    EXPECT_EQ(plan.passes, 1) << chip;
    EXPECT_EQ(plan.metrics, DefaultCounters());
    EXPECT_FALSE(plan.config_image.empty());
  }
}

TEST_F(RealCounterHostTest, MetricsThatNeedMorePassesReportThem) {
  // 8 with CUPTI 13.0; a breakdown over many units never fits one.
  EXPECT_GT(host_->Plan("GH100", {"sm__throughput.avg.pct_of_peak_sustained_elapsed"}).passes, 1);
}

TEST_F(RealCounterHostTest, MetricsAreListedAndEveryDefaultIsOneOfThem) {
  const std::vector<std::string> metrics = host_->Metrics("GH100");
  EXPECT_GT(metrics.size(), 1000U);
  for (const std::string& metric : DefaultCounters()) {
    const std::string base = metric.substr(0, metric.find('.'));
    EXPECT_TRUE(std::binary_search(metrics.begin(), metrics.end(), base)) << base;
  }
}

TEST_F(RealCounterHostTest, UnknownNamesAreNamed) {
  ExpectError(ErrorCode::kInvalidArgument, {"GH100 cannot count 'nonsense.sum'"}, [&] {
    (void)host_->Plan("GH100", {"dram__bytes.sum", "nonsense.sum"});
  });
  ExpectError(ErrorCode::kInvalidArgument, {"not support the chip 'GX1'"}, [&] {
    (void)host_->Plan("GX1", DefaultCounters());
  });
  ExpectError(ErrorCode::kInvalidArgument, {"list of counters is empty"}, [&] {
    (void)host_->Plan("GH100", {});
  });
}

class CountersTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!DBSP_HAVE_CUDA) GTEST_SKIP() << "this build has no CUDA";
    if (!DBSP_HAVE_CUPTI) GTEST_SKIP() << "this build has no CUPTI";
    if (!DBSP_HAVE_NVML) GTEST_SKIP() << "this build has no NVML";
  }
  void TearDown() override {
    const DynamicLibrary cupti(request_.cupti_library, "no fake");
    EXPECT_EQ(cupti.Get<int()>("FakeCuptiHostSessions")(), 0);
    EXPECT_EQ(cupti.Get<int()>("FakeCuptiRangeEnabled")(), 0);
    const DynamicLibrary nvml(request_.nvml_library, "no fake");
    EXPECT_EQ(nvml.Get<int()>("FakeNvmlSamplesAlive")(), 0);
  }
  CounterReading Read() {
    return ReadCounters(request_, [this] { ++runs_; });
  }

  const EnvironmentVariable devices_{"DBSP_FAKE_CUDA_DEVICES", "2"};
  CounterRequest request_{.metrics = {"dram__bytes.sum", "sm__cycles_active.avg"},
                          .device = 1,
                          .cupti_library = FakeLibrary("libcupti.so.13"),
                          .cuda_library = FakeLibrary("libcuda.so.1"),
                          .nvml_library = FakeLibrary("libnvidia-ml.so.1")};
  int runs_ = 0;
};

TEST_F(CountersTest, TheRangeProfilerCountsOneRun) {
  const CounterReading reading = Read();
  EXPECT_EQ(reading.source, CounterSource::kRangeProfiler);
  EXPECT_STREQ(NameOf(reading.source), "cupti.range");
  EXPECT_EQ(reading.why, "");
  EXPECT_EQ(runs_, 1);
  EXPECT_THAT(reading.values,
              ElementsAre(Pair("dram__bytes.sum", 1001), Pair("sm__cycles_active.avg", 2001)));
}

TEST_F(CountersTest, WithoutTheDeprecatedCallThePlanIsOfTheChip) {
  {
    const EnvironmentVariable result("DBSP_FAKE_CUPTI_AVAILABILITY", "27");  // NOT_SUPPORTED
    EXPECT_EQ(Read().source, CounterSource::kRangeProfiler);
  }
  {
    const EnvironmentVariable result("DBSP_FAKE_CUPTI_AVAILABILITY", "35");  // PRIVILEGES
    EXPECT_THAT(Read().why, HasSubstr("CAP_SYS_ADMIN"));
  }
  request_.cupti_library = DBSP_BINARY_DIR "/fake_vendor/later/libcupti.so.13";
  const CounterReading reading = Read();
  EXPECT_EQ(reading.source, CounterSource::kRangeProfiler) << reading.why;
  EXPECT_EQ(reading.values.size(), 2U);
}

TEST_F(CountersTest, MorePassesRunTheWorkAgain) {
  const EnvironmentVariable passes("DBSP_FAKE_CUPTI_PASSES", "3");
  RangeProfiler profiler =
      RangeProfiler::Start(request_.metrics, request_.cupti_library, request_.cuda_library);
  EXPECT_EQ(profiler.plan().passes, 3);
  EXPECT_EQ(profiler.plan().chip, "GH100");
  EXPECT_EQ(profiler.Measure([this] { ++runs_; }).at("dram__bytes.sum"), 1003);
  EXPECT_EQ(runs_, 3);
  EXPECT_EQ(profiler.Measure([this] { ++runs_; }).at("dram__bytes.sum"), 1003);
}

TEST_F(CountersTest, WithoutPermissionGpmIsUsedAndTheReasonIsKept) {
  const EnvironmentVariable forbidden("DBSP_FAKE_CUPTI_RANGE", "35");
  const CounterReading reading = Read();
  EXPECT_EQ(reading.source, CounterSource::kGpm);
  EXPECT_STREQ(NameOf(reading.source), "nvml.gpm");
  EXPECT_THAT(reading.why,
              AllOf(HasSubstr("cuptiRangeProfilerEnable"),
                    HasSubstr("CAP_SYS_ADMIN"),
                    HasSubstr("NVreg_RestrictProfilingToAdminUsers=0")));
  EXPECT_EQ(runs_, 1);
  // The fake does not support metric 7, hmma_tensor_util.
  EXPECT_THAT(reading.values,
              ElementsAre(Pair("any_tensor_util", 50),
                          Pair("dram_bw_util", 100),
                          Pair("sm_occupancy", 30),
                          Pair("sm_util", 20)));
}

TEST_F(CountersTest, WithoutBothSourcesThereAreNoCountersAndTwoReasons) {
  const EnvironmentVariable another("DBSP_FAKE_CUPTI_RANGE", "39");
  const EnvironmentVariable gpm("DBSP_FAKE_NVML_GPM", "0");
  const CounterReading reading = Read();
  EXPECT_EQ(reading.source, CounterSource::kNone);
  EXPECT_STREQ(NameOf(reading.source), "none");
  EXPECT_THAT(reading.values, IsEmpty());
  EXPECT_THAT(reading.why,
              AllOf(HasSubstr("another profiler"), HasSubstr("0000:18:00.0 has no GPM")));
}

TEST_F(CountersTest, WithNothingInstalledTheReasonsAreTheLibraries) {
  request_.cupti_library = request_.nvml_library = request_.cuda_library = "libnowhere.so.9";
  const std::string why = Read().why;
  EXPECT_THAT(why, HasSubstr("CUPTI: unavailable: libnowhere.so.9 not found"));
  EXPECT_THAT(why, HasSubstr("no NVIDIA driver"));
  request_.cupti_library = FakeLibrary("libcupti.so.13");
  request_.nvml_library = FakeLibrary("libnvidia-ml.so.1");
  request_.cuda_library = FakeLibrary("libcuda.so.1");
}

TEST_F(CountersTest, NoContextAndDroppedCountsAreReasonsToo) {
  {
    const EnvironmentVariable context("DBSP_FAKE_CUDA_CONTEXT", "0");
    EXPECT_THAT(Read().why, HasSubstr("no CUDA context"));
  }
  const EnvironmentVariable dropped("DBSP_FAKE_CUPTI_DROP", "1");
  EXPECT_THAT(Read().why, HasSubstr("dropped the counts"));
}

TEST_F(CountersTest, AMetricThatTheChipDoesNotHaveIsAnInvalidArgument) {
  request_.metrics = {"dram__bytes.sum", "nonsense.sum"};
  ExpectError(
      ErrorCode::kInvalidArgument, {"GH100 cannot count 'nonsense.sum'"}, [&] { (void)Read(); });
}

TEST_F(CountersTest, AnErrorOfTheRunIsNotAnErrorOfTheSource) {
  EXPECT_THROW((void)ReadCounters(request_, [] { throw std::runtime_error("the run"); }),
               std::runtime_error);
  // Also when its error has the code of a failed source.
  ExpectError(ErrorCode::kUnavailable, {"the run's own"}, [&] {
    (void)ReadCounters(request_, [] { Fail(ErrorCode::kUnavailable, "the run's own"); });
  });
}

}  // namespace
}  // namespace dbsp::runtime
