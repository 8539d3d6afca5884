// SPDX-License-Identifier: Apache-2.0
// Errors of replays on GPUs, and the memory of a rank.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <stdexcept>
#include <thread>

#include "build_config.h"
#include "tests/core/expect_error.h"
#include "tests/replay/gpu_cases.h"

namespace dbsp::replay {
namespace {

using dbsp::testing::ExpectError;
using testing::Case;
using ::testing::HasSubstr;
using testing::Limits;
using testing::OnGpu;
using testing::PredictedBf16;

TEST(GpuErrorsTest, AKernelThatComputesSomethingWrongFailsTheVerification) {
  for (const float value : {NAN, 7.0F}) {
    emulated_gpu::Configure({});
    const Case c(Family::kUlysses, 3, {3, 1});
    const auto runner = c.Runner(OnGpu(TransportKind::kSerial));
    emulated_gpu::BreakAttention(value);
    (void)runner->Run(PredictedBf16(c.cell), {.warmups = 0, .runs = 1}, {});
    const VerifyResult result = runner->VerifyOutputs(Limits());
    EXPECT_FALSE(result.passed);
    EXPECT_THAT(result.problem, HasSubstr("head"));
  }
  emulated_gpu::Configure({});
}

TEST(GpuErrorsTest, SayWhatIsMissing) {
  const Case c;
  emulated_gpu::Configure({.devices = 2});
  ExpectError(
      ErrorCode::kUnavailable,
      {"--transport nccl: unavailable: 3 ranks", "this machine has 2", "--transport serial"},
      [&] { (void)c.Runner(OnGpu(TransportKind::kNccl)); });
  emulated_gpu::Configure({.memory_bytes = 100'000});
  ExpectError(ErrorCode::kUnavailable, {"GB of device memory", "are free", "--tokens"}, [&] {
    (void)c.Runner(OnGpu(TransportKind::kSerial));
  });
  EXPECT_EQ(emulated_gpu::BytesAlive(), 0U);
  emulated_gpu::Configure({});
  ExecutionTarget on = OnGpu(TransportKind::kSerial);
  on.device.index = 8;
  ExpectError(ErrorCode::kUnavailable, {"no device 8"}, [&] { (void)c.Runner(on); });
  if (!DBSP_HAVE_NCCL) return;
  on = OnGpu(TransportKind::kNccl);
  on.nccl.library = "/nowhere/libnccl.so.2";
  const auto runner = c.Runner(on);
  ExpectError(ErrorCode::kUnavailable, {"NCCL", "/nowhere/libnccl.so.2"}, [&] {
    (void)runner->Run({}, {.warmups = 0, .runs = 1}, {});
  });
}

TEST(GpuErrorsTest, ARankThatFailsEndsAllAndIsNamed) {
  if (!DBSP_HAVE_NCCL) GTEST_SKIP() << "this build has no NCCL";
  emulated_gpu::Configure({});
  const Case c;
  {
    const auto runner = c.Runner(OnGpu(TransportKind::kNccl));
    ExpectError(ErrorCode::kMeasurement, {"rank 1", "out of patience"}, [&] {
      (void)runner->Run({}, {.warmups = 0, .runs = 1}, [](int rank, int step) {
        if (rank == 1 && step == 1) throw std::runtime_error("out of patience");
      });
    });
  }
  EXPECT_EQ(emulated_gpu::BytesAlive(), 0U);
}

TEST(GpuErrorsTest, AnExchangeThatHangsEndsEveryRankAtTheDeadline) {
  if (!DBSP_HAVE_NCCL) GTEST_SKIP() << "this build has no NCCL";
  emulated_gpu::Configure({});
  const Case c;
  {
    ExecutionTarget on = OnGpu(TransportKind::kNccl);
    on.nccl.deadline_ns = 1'000'000'000;
    const auto runner = c.Runner(on);
    // Rank 1 takes part in no further exchange until the others have failed.
    ExpectError(ErrorCode::kMeasurement, {"rank", "took more than 1 s"}, [&] {
      (void)runner->Run({}, {.warmups = 0, .runs = 1}, [](int rank, int step) {
        if (rank == 1 && step == 1) std::this_thread::sleep_for(std::chrono::seconds(3));
      });
    });
  }
  EXPECT_EQ(emulated_gpu::BytesAlive(), 0U);
}

TEST(DeviceBytesTest, AreWhatARankAllocates) {
  for (const auto& [family, degrees] :
       {std::pair{Family::kRing, std::pair{1, 3}}, {Family::kUlysses, {3, 1}}}) {
    emulated_gpu::Configure({});
    const Case c(family, 3, degrees);
    const auto runner = c.Runner(OnGpu(TransportKind::kSerial));
    const auto alive = static_cast<std::int64_t>(emulated_gpu::BytesAlive());
    EXPECT_GE(runner->memory_bytes(), alive);
    EXPECT_LE(runner->memory_bytes() - alive, 100)
        << "tiles without keys have no place in an order";
  }
}

}  // namespace
}  // namespace dbsp::replay
