// SPDX-License-Identifier: Apache-2.0
// Launches of kernels/gpu on the emulated GPUs. They replace those of the .cu files.
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "kernels/gpu/check_call.h"
#include "kernels/gpu/device_query.h"
#include "kernels/gpu/gather/gather_variants.h"
#include "kernels/gpu/gather/tiles.h"
#include "kernels/gpu/memory_kernels.h"
#include "kernels/gpu/sm80/sm80_variants.h"
#include "kernels/gpu/sm90/sm90_variants.h"
#include "kernels/gpu/timing_kernels.h"
#include "runtime/clock.h"
#include "tests/emulated_gpu/emulated_runtime.h"
#include "tests/emulated_gpu/run_attention.h"

namespace dbsp::kernels::gpu {
namespace {

using emulated_gpu::EmulatedRuntime;

/// Whether the environment variable names this kernel, for tests of kernels that fault or hang.
bool IsNamedBy(const char* variable, const Variant& variant) {
  const char* name = std::getenv(variable);
  return name != nullptr && std::string_view(name) == variant.name;
}

/// As cuda_check.cpp ends a process whose device context is lost.
[[noreturn]] void EndByFault() {
  std::fprintf(stderr,
               "dbsp: emulated: an illegal memory access was encountered "
               "(cudaErrorIllegalAddress, 700); this error loses the device context, so this "
               "process ends\n");
  std::fflush(nullptr);
  std::_Exit(4);
}

/// Does the same as the launchers, in the same order: checks, reset of the counter, the kernel.
void LaunchAttention(const Variant& variant, const AttentionCall& call) {
  CheckCall(variant, call);
  CheckArch(variant, DeviceArch(variant.name));
  const int grid = call.sm_count > 0 ? call.sm_count : DeviceSms(variant.name);
  ++EmulatedRuntime::Get().counts.attention_launches;
  EmulatedRuntime::Get().Launched(variant.name, call.stream, true);
  if (IsNamedBy("DBSP_EMULATED_HANG", variant)) {
    EmulatedRuntime::Get().Enqueue(call.stream, {.start = [] {}, .done = [] { return false; }});
    return;
  }
  if (IsNamedBy("DBSP_EMULATED_FAULT", variant)) {
    EmulatedRuntime::Get().Enqueue(call.stream, {.start = EndByFault, .done = nullptr});
    return;
  }
  const int device = EmulatedRuntime::CurrentDevice();
  EmulatedRuntime::Get().Enqueue(
      call.stream,
      {.start =
           [variant, call, grid, device] {
             EmulatedRuntime& runtime = EmulatedRuntime::Get();
             *call.counter = 0;
             (void)emulated_gpu::RunAttention(variant, call, grid, runtime.RunOptions(device));
             if (call.lse != nullptr) call.lse[0] += runtime.broken_lse;
             if (!runtime.broken) return;
             const auto bits = std::bit_cast<std::uint32_t>(runtime.broken_value);
             *static_cast<std::uint16_t*>(call.o.data) = static_cast<std::uint16_t>(bits >> 16U);
           },
       .done = nullptr});
}

int FitsOn(const Variant& variant) {
  return EmulatedRuntime::Get().one_block_per_sm ? 1 : variant.blocks_per_sm;
}

template <class Arguments>
void Enqueue(void (*kernel)(const Arguments&),
             const Arguments& args,
             std::int64_t blocks,
             void* stream,
             std::int64_t& count) {
  if (blocks == 0) return;
  ++count;
  EmulatedRuntime::Get().Launched("memory", stream, true);
  const int device = EmulatedRuntime::CurrentDevice();
  EmulatedRuntime::Get().Enqueue(stream,
                                 {.start =
                                      [kernel, args, blocks, device] {
                                        isa::RunGrid(static_cast<int>(blocks),
                                                     kMemoryThreads,
                                                     0,
                                                     EmulatedRuntime::Get().RunOptions(device),
                                                     [&] { kernel(args); });
                                      },
                                  .done = nullptr});
}

template <int kHeadDim>
auto MergeOf(const MergeCall& call) {
  if (call.o.data == nullptr) {
    return call.read_sum ? &MergeKernel<kHeadDim, true, true> : &MergeKernel<kHeadDim, false, true>;
  }
  return call.read_sum ? &MergeKernel<kHeadDim, true, false> : &MergeKernel<kHeadDim, false, false>;
}

}  // namespace

int DeviceArch(const char*) { return EmulatedRuntime::Get().options().arch; }
int DeviceSms(const char*) { return EmulatedRuntime::Get().options().sm_count; }

namespace sm80 {
template <class Kernel>
void Launch(const AttentionCall& call) {
  LaunchAttention(VariantOf<Kernel>(), call);
}
template <class Kernel>
int BlocksThatFit() {
  return FitsOn(VariantOf<Kernel>());
}
DBSP_SM80_KERNELS(DBSP_INSTANTIATE_LAUNCH)
}  // namespace sm80

namespace sm90 {
template <class Kernel>
void Launch(const AttentionCall& call) {
  LaunchAttention(VariantOf<Kernel>(), call);
}
template <class Kernel>
int BlocksThatFit() {
  return FitsOn(VariantOf<Kernel>());
}
DBSP_SM90_KERNELS(DBSP_INSTANTIATE_LAUNCH)
}  // namespace sm90

namespace gather {
template <class Kernel>
void Launch(const AttentionCall& call) {
  LaunchAttention(sm90::VariantOf<Kernel>(), call);
}
template <class Kernel>
int BlocksThatFit() {
  return FitsOn(sm90::VariantOf<Kernel>());
}
DBSP_GATHER_KERNELS(DBSP_INSTANTIATE_LAUNCH)
}  // namespace gather

void LaunchMerge(const MergeCall& call) {
  CheckMerge(call);
  const MergeArguments args = ArgumentsOf(call);
  Enqueue(call.head_dim == 64 ? MergeOf<64>(call) : MergeOf<128>(call),
          args,
          MergeBlocks(args),
          call.stream,
          EmulatedRuntime::Get().counts.merges);
  if (call.o.data == nullptr) return;
  EmulatedRuntime::Get().Enqueue(
      call.stream,
      {.start = [lse = call.lse] { lse[0] += EmulatedRuntime::Get().broken_lse; },
       .done = nullptr});
}

void LaunchCopy(const CopyCall& call) {
  CheckCopy(call);
  const CopyArguments args = ArgumentsOf(call);
  Enqueue(call.head_dim == 64 ? &CopyKernel<64> : &CopyKernel<128>,
          args,
          args.blocks,
          call.stream,
          EmulatedRuntime::Get().counts.copies);
}

void LaunchPermute(const PermuteCall& call) {
  CheckPermute(call);
  const PermuteArguments args = ArgumentsOf(call);
  const auto apply = call.head_dim == 64 ? &PermuteKernel<64, false> : &PermuteKernel<128, false>;
  const auto undo = call.head_dim == 64 ? &PermuteKernel<64, true> : &PermuteKernel<128, true>;
  Enqueue(call.undo ? undo : apply,
          args,
          PermuteBlocks(args),
          call.stream,
          EmulatedRuntime::Get().counts.permutes);
}

void LaunchHold(const std::int32_t* release,
                std::int32_t* gave_up,
                std::int64_t patience_ns,
                void* stream) {
  const auto begin = std::make_shared<std::int64_t>(0);
  EmulatedRuntime::Get().Enqueue(stream,
                                 {.start = [begin] { *begin = runtime::SteadyNs(); },
                                  .done =
                                      [=] {
                                        const volatile std::int32_t* released = release;
                                        if (*released != 0) return true;
                                        if (runtime::SteadyNs() - *begin <= patience_ns)
                                          return false;
                                        *gave_up = 1;
                                        return true;
                                      }});
}

void LaunchClockStamp(ClockStamp* stamp, int, void* stream) {
  EmulatedRuntime::Get().Enqueue(stream,
                                 {.start =
                                      [stamp] {
                                        if (!EmulatedRuntime::Get().clock_stamps) return;
                                        // The emulated device has a clock of 1 GHz.
                                        const auto now =
                                            static_cast<std::uint64_t>(runtime::SteadyNs());
                                        *stamp = {now, now};
                                      },
                                  .done = nullptr});
}

}  // namespace dbsp::kernels::gpu
