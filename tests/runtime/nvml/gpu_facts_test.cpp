// SPDX-License-Identifier: Apache-2.0
#include "runtime/nvml/gpu_facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "build_config.h"
#include "runtime/dynamic_library.h"
#include "tests/core/expect_error.h"
#include "tests/runtime/fake_vendor.h"

namespace dbsp::runtime {
namespace {

using dbsp::testing::EnvironmentVariable;
using dbsp::testing::ExpectError;
using dbsp::testing::FakeLibrary;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

class GpuFactsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!DBSP_HAVE_NVML) GTEST_SKIP() << "this build has no NVML";
  }
  const std::string library_ = FakeLibrary("libnvidia-ml.so.1");
  const std::vector<std::string> three_ = {"0000:17:00.0", "0000:18:00.0", "0000:19:00.0"};
};

TEST_F(GpuFactsTest, ExactlyTheFactsOfTheDeviceAreReported) {
  // The fake has no temperature, no application clocks and no default power limit.
  EXPECT_THAT(GpuFacts("0000:17:00.0", library_),
              ElementsAre(Pair("gpu_clock_events", "power cap, thermal slowdown"),
                          Pair("gpu_ecc", "on"),
                          Pair("gpu_memory_clock_max_mhz", "3202"),
                          Pair("gpu_memory_clock_mhz", "3201"),
                          Pair("gpu_mig", "off"),
                          Pair("gpu_nvlinks", "4"),
                          Pair("gpu_power_limit_w", "650.5"),
                          Pair("gpu_sm_clock_max_mhz", "1980"),
                          Pair("gpu_sm_clock_mhz", "1755"),
                          Pair("gpu_vbios", "96.00.99.00.00")));
}

TEST_F(GpuFactsTest, MigIsReported) {
  const EnvironmentVariable mig("DBSP_FAKE_NVML_MIG", "1");
  EXPECT_EQ(GpuFacts("0000:17:00.0", library_).at("gpu_mig"), "on");
}

TEST_F(GpuFactsTest, ADeviceWithoutAnswersHasNoFacts) {
  const EnvironmentVariable bare("DBSP_FAKE_NVML_BARE", "1");
  EXPECT_THAT(GpuFacts("0000:17:00.0", library_), IsEmpty());
  EXPECT_THAT(GpuLinks(three_, library_), IsEmpty());
}

TEST_F(GpuFactsTest, EveryPairHasItsLinks) {
  EXPECT_THAT(
      GpuLinks(three_, library_),
      ElementsAre(Pair("gpu_link_0_1", "read ok, write ok, nvlink ok, 2 direct links"),
                  Pair("gpu_link_0_2", "read ok, write ok, nvlink ok, 2 direct links"),
                  Pair("gpu_link_1_2",
                       "read ok, write not through this topology, nvlink ok, 2 direct links")));
  EXPECT_THAT(GpuLinks({"0000:17:00.0"}, library_), IsEmpty());
}

TEST_F(GpuFactsTest, BehindASwitchNoLinkIsDirect) {
  const EnvironmentVariable links("DBSP_FAKE_NVML_LINKS", "switch");
  EXPECT_EQ(GpuLinks(three_, library_).at("gpu_link_0_1"),
            "read ok, write ok, nvlink ok, 0 direct links");
  EXPECT_EQ(GpuFacts("0000:17:00.0", library_).at("gpu_nvlinks"), "4");
}

TEST_F(GpuFactsTest, AnUnknownDeviceIsNvmlsError) {
  const DynamicLibrary fake(library_, "no fake");
  ExpectError(ErrorCode::kUnavailable,
              {"nvmlDeviceGetHandleByPciBusId_v2: a fake failure (NVML error 6)"},
              [&] { (void)GpuFacts("0000:01:00.0", library_); });
  EXPECT_EQ(fake.Get<int()>("FakeNvmlStarts")(), 0);
}

}  // namespace
}  // namespace dbsp::runtime
