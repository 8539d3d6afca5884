// SPDX-License-Identifier: Apache-2.0
#include "tuner/bandwidth_advice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dbsp::tuner {
namespace {

using ::testing::HasSubstr;

Provenance Gpu(const std::string& name) {
  Provenance device;
  device.device_kind = "cuda";
  device.device_name = name;
  return device;
}

TEST(BandwidthAdviceTest, NamesRateClusterAndSetting) {
  Provenance device = Gpu("NVIDIA H200");
  ASSERT_TRUE(BandwidthAdvice(device, 40));
  EXPECT_THAT(*BandwidthAdvice(device, 40), HasSubstr("40 GB/s, where h200 reaches 370"));
  EXPECT_THAT(*BandwidthAdvice(device, 40), HasSubstr("nvidia-smi topo -m"));
  device.extra["NCCL_P2P_DISABLE"] = "1";
  EXPECT_THAT(*BandwidthAdvice(device, 40), HasSubstr("NCCL_P2P_DISABLE=1: unset that"));
}

TEST(BandwidthAdviceTest, IsSilentWhereNothingIsKnownOrWrong) {
  EXPECT_FALSE(BandwidthAdvice(Gpu("NVIDIA H200"), 300));
  EXPECT_FALSE(BandwidthAdvice(Gpu("NVIDIA A800-SXM4-80GB"), 100));
  EXPECT_TRUE(BandwidthAdvice(Gpu("NVIDIA A800-SXM4-80GB"), 20));
  EXPECT_FALSE(BandwidthAdvice(Gpu("NVIDIA A100-PCIE-40GB"), 20));
  EXPECT_FALSE(BandwidthAdvice(Gpu("NVIDIA H100 NVL"), 20));
  EXPECT_FALSE(BandwidthAdvice(Gpu("NVIDIA GeForce RTX 4090"), 20));
  EXPECT_FALSE(BandwidthAdvice(Gpu("NVIDIA H200"), 0));
  Provenance cpu = Gpu("h200");
  cpu.device_kind = "cpu";
  EXPECT_FALSE(BandwidthAdvice(cpu, 1));
}

}  // namespace
}  // namespace dbsp::tuner
