// SPDX-License-Identifier: Apache-2.0
// The emulated GPUs compute, order and reject work as real GPUs do. Tests of profiler and replay
// rely on it.
#include "tests/emulated_gpu/emulated_gpu.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cmath>
#include <memory>
#include <numeric>
#include <string>
#include <thread>

#include "build_config.h"
#include "kernels/gpu/gpu_variants.h"
#include "profiler/gpu/device_timer.h"
#include "runtime/cuda/cuda_buffer.h"
#include "runtime/cuda/cuda_device.h"
#include "runtime/cuda/cuda_event.h"
#include "runtime/cuda/cuda_graph.h"
#include "runtime/cuda/cuda_stream.h"
#include "runtime/nccl/nccl_communicator.h"
#include "tests/core/expect_error.h"
#include "tests/emulated_gpu/emulated_runtime.h"
#include "tests/kernels/gpu_case.h"
#include "tests/runtime/fake_vendor.h"

namespace dbsp {
namespace {

using emulated_gpu::Options;
using emulated_gpu::Schedule;
using kernels::gpu::AttentionCall;
using kernels::gpu::TensorView;
using kernels::gpu::Variant;
using kernels::gpu::VariantNamed;
using kernels::gpu::testing::GpuCase;
using runtime::CudaBuffer;
using runtime::CudaEvent;
using runtime::CudaGraph;
using runtime::CudaStream;
using testing::ExpectError;

constexpr std::array kSchedules{Schedule::kEarly, Schedule::kLate, Schedule::kRandom};

std::vector<int> Read(const CudaBuffer& buffer, const CudaStream& stream) {
  std::vector<int> values(buffer.bytes() / sizeof(int));
  buffer.Download(values.data(), buffer.bytes(), stream);
  return values;
}

CudaBuffer Numbers(int first, const CudaStream& stream) {
  std::array<int, 4> values{};
  std::iota(values.begin(), values.end(), first);
  return runtime::ToDevice(std::span<const int>(values), "numbers", stream);
}

/// `call` of host memory with everything on the device, and its results taken back.
void RunOnDevice(const Variant& variant, GpuCase& test, const CudaStream& stream) {
  AttentionCall call = test.Call();
  std::vector<CudaBuffer> buffers;
  std::vector<std::pair<const CudaBuffer*, void*>> results;
  buffers.reserve(16);
  for (const auto& region : test.Regions()) {
    const auto bytes = static_cast<std::size_t>(region.bytes);
    buffers.emplace_back(bytes, region.name);
    buffers.back().Upload(region.data, bytes, stream);
    const auto moved = [&](auto*& pointer) {
      const auto* at = reinterpret_cast<const std::byte*>(pointer);
      const auto* begin = static_cast<const std::byte*>(region.data);
      if (at < begin || at >= begin + bytes) return;
      using Pointer = std::remove_reference_t<decltype(pointer)>;
      pointer = reinterpret_cast<Pointer>(buffers.back().As<std::byte>() + (at - begin));
    };
    for (TensorView* view : {&call.q, &call.k, &call.v, &call.o}) moved(view->data);
    moved(call.lse);
    moved(call.begin);
    moved(call.list);
    moved(call.order);
    moved(call.counter);
    if (region.writable) results.emplace_back(&buffers.back(), const_cast<void*>(region.data));
  }
  call.stream = stream.get();
  variant.launch(call);
  for (const auto& [buffer, to] : results) buffer->Download(to, buffer->bytes(), stream);
}

TEST(EmulatedGpuTest, KernelsOfTheTableComputeAttentionInDeviceMemory) {
  for (const char* name : {"sm80.block64x64.d64",
                           "sm90.block128x128.d128",
                           "sm90.block64x64.d64",
                           "sm90.gather64.d64"}) {
    SCOPED_TRACE(name);
    emulated_gpu::Configure({});
    const Variant& variant = VariantNamed(name);
    (void)runtime::OpenCudaDevice(1);
    const CudaStream stream;
    GpuCase test(variant, {.q_tokens = 130, .k_tokens = 200}, 3);
    test.Poison();
    RunOnDevice(variant, test, stream);
    const auto off = test.Compare();
    EXPECT_LE(off.o, 5e-3);
    EXPECT_LE(off.lse, 1e-4);
    EXPECT_EQ(emulated_gpu::Counted().attention_launches, 1);
  }
}

TEST(EmulatedGpuTest, ABrokenKernelIsSeenInItsOutput) {
  emulated_gpu::Configure({});
  emulated_gpu::BreakAttention(1000.0F);
  const Variant& variant = VariantNamed("sm80.block64x64.d64");
  const CudaStream stream;
  GpuCase test(variant, {.q_tokens = 70, .k_tokens = 70}, 3);
  test.Poison();
  RunOnDevice(variant, test, stream);
  EXPECT_GT(test.Compare().o, 1.0);
  emulated_gpu::BreakAttention(0.0F);
}

TEST(EmulatedGpuTest, StreamsAreOrderedByEventsAloneAndWorkComesLate) {
  emulated_gpu::Configure({.schedule = Schedule::kLate});
  const CudaStream first;
  const CudaStream second;
  const CudaBuffer from = Numbers(7, first);
  const CudaBuffer between(16, "between");
  const CudaBuffer to(16, "to");
  CudaEvent event;
  between.CopyFrom(from, first);
  to.CopyFrom(between, second);  // nothing makes it wait
  EXPECT_EQ(Read(to, second), (std::vector<int>(4, -1)));
  EXPECT_FALSE(first.Idle() && Read(between, second)[0] == -1);
  event.Record(first);
  event.Block(second);
  to.CopyFrom(between, second);
  EXPECT_EQ(Read(to, second), (std::vector<int>{7, 8, 9, 10}));
}

TEST(EmulatedGpuTest, WhatIsOrderedIsRightUnderEverySchedule) {
  for (const Schedule schedule : kSchedules) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      emulated_gpu::Configure({.schedule = schedule, .seed = seed});
      const std::array<CudaStream, 3> streams;
      std::array<CudaEvent, 3> events;
      const CudaBuffer numbers = Numbers(3, streams[0]);
      std::vector<CudaBuffer> hops;
      for (int i = 0; i < 7; ++i) hops.emplace_back(16, "hop");
      const CudaBuffer* last = &numbers;
      for (std::size_t i = 0; i < hops.size(); ++i) {
        const CudaStream& stream = streams[i % 3];
        if (i > 0) events[(i - 1) % 3].Block(stream);
        hops[i].CopyPart(*last, 0, 0, 8, stream);
        hops[i].CopyPart(*last, 8, 8, 8, stream);
        events[i % 3].Record(stream);
        last = &hops[i];
      }
      events[(hops.size() - 1) % 3].Synchronize();
      EXPECT_EQ(Read(*last, streams[1]), (std::vector<int>{3, 4, 5, 6}));
    }
  }
}

TEST(EmulatedGpuTest, EventsMustBeReachedAndTheirTimesFollowTheStream) {
  emulated_gpu::Configure({.schedule = Schedule::kLate});
  const CudaStream stream;
  CudaEvent begin;
  CudaEvent end;
  begin.Record(stream);
  end.Record(stream);
  ExpectError(
      ErrorCode::kUnavailable, {"not reached"}, [&] { (void)CudaEvent::ElapsedNs(begin, end); });
  end.Synchronize();
  EXPECT_GE(CudaEvent::ElapsedNs(begin, end), 0.0);
}

TEST(EmulatedGpuTest, AGraphRunsWhatWasRecordedAsOftenAsItIsLaunched) {
  emulated_gpu::Configure({.schedule = Schedule::kLate});
  const CudaStream stream;
  const CudaBuffer from = Numbers(1, stream);
  const CudaBuffer to(16, "to");
  const CudaGraph graph(stream, [&] { to.CopyFrom(from, stream); });
  EXPECT_EQ(Read(to, stream), std::vector<int>(4, -1)) << "recording runs nothing";
  graph.Launch(stream);
  EXPECT_EQ(Read(to, stream), (std::vector<int>{1, 2, 3, 4}));
  to.Fill(0, stream);
  graph.Launch(stream);
  EXPECT_EQ(Read(to, stream), (std::vector<int>{1, 2, 3, 4}));
  EXPECT_EQ(emulated_gpu::Counted().graph_launches, 2);
  EXPECT_THROW(CudaGraph(stream, [] { throw std::runtime_error("no"); }), std::runtime_error);
  to.Fill(0, stream);
  EXPECT_EQ(Read(to, stream), std::vector<int>(4, 0)) << "a failed recording leaves the stream";
}

TEST(EmulatedGpuTest, MemoryIsLimitedAndGivenBack) {
  emulated_gpu::Configure({.memory_bytes = 1000});
  {
    const CudaBuffer held(600, "held");
    ExpectError(ErrorCode::kUnavailable, {"keys needs 500 bytes"}, [] {
      const CudaBuffer keys(500, "keys");
    });
    runtime::CurrentCudaDevice other(1);
    const CudaBuffer elsewhere(500, "of another device");
    EXPECT_EQ(emulated_gpu::BytesAlive(), 1100U);
  }
  EXPECT_EQ(emulated_gpu::BytesAlive(), 0U);
  ExpectError(ErrorCode::kUnavailable, {"no device 8; there are 8"}, [] {
    (void)runtime::OpenCudaDevice(8);
  });
}

TEST(EmulatedGpuTest, AKernelMayNotTouchAnotherDevice) {
  emulated_gpu::Configure({});
  const Variant& variant = VariantNamed("sm80.block64x64.d64");
  GpuCase test(variant, {.q_tokens = 70, .k_tokens = 70}, 3);
  AttentionCall call = test.Call();  // host memory, which no device may touch
  const CudaStream stream;
  call.stream = stream.get();
  ExpectError(ErrorCode::kInternal, {"which has"}, [&] {
    variant.launch(call);
    stream.Synchronize();
  });
}

TEST(EmulatedGpuTest, TheDeviceTimerTimesWorkThatWasHeldBack) {
  emulated_gpu::Configure({.schedule = Schedule::kEarly});
  const runtime::CudaDeviceFacts facts = runtime::OpenCudaDevice(0);
  profiler::DeviceTimer timer(facts);
  const CudaBuffer from = Numbers(1, timer.stream());
  const CudaBuffer to(16, "to");
  int runs = 0;
  const auto work = [&](void*) {
    ++runs;
    to.CopyFrom(from, timer.stream());
  };
  timer.WarmUp(work, "copy");
  EXPECT_GT(timer.Cold(work).duration_ns, 0.0);
  EXPECT_GT(timer.Batched(work, 5).duration_ns, 0.0);
  EXPECT_EQ(runs, 7);
}

TEST(EmulatedGpuTest, ADeviceTimerWithoutClockStampsHasNoClockRatio) {
  emulated_gpu::Configure({.schedule = Schedule::kEarly});
  const runtime::CudaDeviceFacts facts = runtime::OpenCudaDevice(0);
  profiler::DeviceTimer timer(facts);
  const auto wait = [](void* stream) {
    emulated_gpu::EmulatedRuntime::Get().Enqueue(
        stream,
        {.start = [] { std::this_thread::sleep_for(std::chrono::milliseconds(1)); },
         .done = nullptr});
  };
  EXPECT_TRUE(timer.Cold(wait).clock_ratio.has_value());
  // The stamps of the run before are still in the buffer unless it is cleared.
  emulated_gpu::LoseClockStamps();
  EXPECT_FALSE(timer.Cold(wait).clock_ratio.has_value());
}

TEST(EmulatedGpuTest, KernelsSayHowManyBlocksFitAnSm) {
  emulated_gpu::Configure({});
  for (const Variant& variant : kernels::gpu::Variants()) {
    EXPECT_EQ(variant.blocks_that_fit(), variant.blocks_per_sm) << variant.name;
    const bool two = std::string(variant.name).find("gather64") != std::string::npos;
    EXPECT_EQ(variant.blocks_per_sm, two ? 2 : 1) << variant.name;
  }
  emulated_gpu::FitOneBlockPerSm();
  EXPECT_EQ(kernels::gpu::VariantNamed("sm90.gather64.d64").blocks_that_fit(), 1);
}

/// What is exchanged was made on the stream before, and is read on it after.
TEST(EmulatedGpuTest, ExchangesOfTheFakeNcclTakeTheirTurnOnTheStreams) {
  if (!DBSP_HAVE_NCCL) GTEST_SKIP() << "this build has no NCCL";
  constexpr int kRanks = 3;
  const std::string library = testing::FakeLibrary("libnccl.so.2");
  emulated_gpu::UseFakeNccl(library);
  for (const Schedule schedule : kSchedules) {
    emulated_gpu::Configure({.schedule = schedule});
    std::array<std::unique_ptr<CudaStream>, kRanks> streams;
    std::array<std::unique_ptr<CudaBuffer>, kRanks> scratch;
    runtime::NcclOptions options;
    options.library = library;
    runtime::RunNcclRanks(
        kRanks,
        options,
        [&](int rank) {
          (void)runtime::OpenCudaDevice(rank);
          streams[rank] = std::make_unique<CudaStream>();
          scratch[rank] = std::make_unique<CudaBuffer>(64, "scratch");
          CudaStream* stream = streams[rank].get();
          return runtime::NcclQueue{
              stream->get(), [stream] { return stream->Idle(); }, scratch[rank]->As<float>()};
        },
        [&](runtime::NcclCommunicator& comm) {
          const CudaStream& stream = *streams[comm.rank()];
          const CudaBuffer source = Numbers(100 * comm.rank(), stream);
          const CudaBuffer packed(16, "packed");
          const CudaBuffer received(16, "received");
          const CudaBuffer result(16, "result");
          for (int round = 0; round < 3; ++round) {
            packed.CopyFrom(source, stream);
            const int next = (comm.rank() + 1) % kRanks;
            const int before = (comm.rank() + kRanks - 1) % kRanks;
            comm.EnqueueSendRecv(packed.span(), next, received.span(), before);
            result.CopyFrom(received, stream);
            packed.Fill(0, stream);
            comm.Wait();
            const int first = 100 * before;
            EXPECT_EQ(Read(result, stream),
                      (std::vector<int>{first, first + 1, first + 2, first + 3}));
          }
        });
    for (int rank = 0; rank < kRanks; ++rank) {
      streams[rank].reset();
      scratch[rank].reset();
    }
  }
  EXPECT_EQ(emulated_gpu::BytesAlive(), 0U);
}

}  // namespace
}  // namespace dbsp
