// SPDX-License-Identifier: Apache-2.0
// The launches of kernels/gpu on the emulated machine, in place of those of the .cu files.
#include <bit>
#include <memory>

#include "kernels/gpu/check_call.h"
#include "kernels/gpu/device_query.h"
#include "kernels/gpu/gather/gather_variants.h"
#include "kernels/gpu/gather/tiles.h"
#include "kernels/gpu/memory_kernels.h"
#include "kernels/gpu/sm80/sm80_variants.h"
#include "kernels/gpu/sm90/sm90_variants.h"
#include "kernels/gpu/timing_kernels.h"
#include "runtime/clock.h"
#include "tests/emulated_gpu/machine.h"
#include "tests/emulated_gpu/run_attention.h"

namespace dbsp::kernels::gpu {
namespace {

using emulated_gpu::Machine;

/// What the launchers do, in their order: checks, the counter, the kernel.
void LaunchAttention(const Variant& variant, const AttentionCall& call) {
  CheckCall(variant, call);
  CheckArch(variant, DeviceArch(variant.name));
  const int grid = call.sm_count > 0 ? call.sm_count : DeviceSms(variant.name);
  ++Machine::Get().counts.attention_launches;
  Machine::Get().Launched(variant.name, call.stream, true);
  const int device = Machine::CurrentDevice();
  Machine::Get().Enqueue(
      call.stream,
      {.start =
           [variant, call, grid, device] {
             Machine& machine = Machine::Get();
             *call.counter = 0;
             (void)emulated_gpu::RunAttention(variant, call, grid, machine.RunOptions(device));
             if (call.lse != nullptr) call.lse[0] += machine.broken_lse;
             if (!machine.broken) return;
             const auto bits = std::bit_cast<std::uint32_t>(machine.broken_value);
             *static_cast<std::uint16_t*>(call.o.data) = static_cast<std::uint16_t>(bits >> 16U);
           },
       .done = nullptr});
}

template <class Arguments>
void Enqueue(void (*kernel)(const Arguments&),
             const Arguments& args,
             std::int64_t blocks,
             void* stream,
             std::int64_t& count) {
  if (blocks == 0) return;
  ++count;
  Machine::Get().Launched("memory", stream, true);
  const int device = Machine::CurrentDevice();
  Machine::Get().Enqueue(stream,
                         {.start =
                              [kernel, args, blocks, device] {
                                isa::RunGrid(static_cast<int>(blocks),
                                             kMemoryThreads,
                                             0,
                                             Machine::Get().RunOptions(device),
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

int DeviceArch(const char*) { return Machine::Get().options().arch; }
int DeviceSms(const char*) { return Machine::Get().options().sm_count; }

namespace sm80 {
template <class Kernel>
void Launch(const AttentionCall& call) {
  LaunchAttention(VariantOf<Kernel>(), call);
}
DBSP_SM80_KERNELS(DBSP_INSTANTIATE_LAUNCH)
}  // namespace sm80

namespace sm90 {
template <class Kernel>
void Launch(const AttentionCall& call) {
  LaunchAttention(VariantOf<Kernel>(), call);
}
DBSP_SM90_KERNELS(DBSP_INSTANTIATE_LAUNCH)
}  // namespace sm90

namespace gather {
template <class Kernel>
void Launch(const AttentionCall& call) {
  LaunchAttention(sm90::VariantOf<Kernel>(), call);
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
          Machine::Get().counts.merges);
  if (call.o.data == nullptr) return;
  Machine::Get().Enqueue(
      call.stream,
      {.start = [lse = call.lse] { lse[0] += Machine::Get().broken_lse; }, .done = nullptr});
}

void LaunchCopy(const CopyCall& call) {
  CheckCopy(call);
  const CopyArguments args = ArgumentsOf(call);
  Enqueue(call.head_dim == 64 ? &CopyKernel<64> : &CopyKernel<128>,
          args,
          args.blocks,
          call.stream,
          Machine::Get().counts.copies);
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
          Machine::Get().counts.permutes);
}

void LaunchHold(const std::int32_t* release,
                std::int32_t* gave_up,
                std::int64_t patience_ns,
                void* stream) {
  const auto begin = std::make_shared<std::int64_t>(0);
  Machine::Get().Enqueue(stream,
                         {.start = [begin] { *begin = runtime::SteadyNs(); },
                          .done =
                              [=] {
                                const volatile std::int32_t* released = release;
                                if (*released != 0) return true;
                                if (runtime::SteadyNs() - *begin <= patience_ns) return false;
                                *gave_up = 1;
                                return true;
                              }});
}

void LaunchClockStamp(ClockStamp* stamp, int, void* stream) {
  Machine::Get().Enqueue(stream,
                         {.start =
                              [stamp] {
                                // A clock of 1 GHz, which is the device's default.
                                const auto now = static_cast<std::uint64_t>(runtime::SteadyNs());
                                *stamp = {now, now};
                              },
                          .done = nullptr});
}

}  // namespace dbsp::kernels::gpu
