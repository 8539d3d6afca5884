// SPDX-License-Identifier: Apache-2.0
#include "tests/gpu_emulator/warp.h"

#include "tests/gpu_emulator/machine.h"

namespace dbsp::kernels::gpu::isa {
namespace emulator {

void Collective(Thread& self,
                const char* operation,
                int key,
                void* operand,
                const std::function<void(const std::array<void*, 32>&)>& all) {
  WarpState& warp = self.block->warps[self.warp()];
  if (warp.arrived == 0) {
    warp.operation = operation;
    warp.key = key;
  } else if (std::string_view(warp.operation) != operation || warp.key != key) {
    self.Refuse("{}({}): other lanes of warp {} are in {}({}); all 32 must take part",
                operation,
                key,
                self.warp(),
                warp.operation,
                warp.key);
  }
  warp.operands[self.lane()] = operand;
  const std::uint64_t generation = warp.generation;
  if (++warp.arrived == kWarpLanes) {
    all(warp.operands);
    warp.arrived = 0;
    ++warp.generation;
    self.machine->Wake(warp.waiters);
    return;
  }
  const Describe describe = [&] {
    return fmt::format(
        "in {}({}): {} of the warp's 32 lanes have arrived", operation, key, warp.arrived);
  };
  self.WaitFor(
      warp.waiters, [&] { return warp.generation != generation; }, describe);
}

namespace {

template <typename T>
struct Exchange {
  T in;
  T out;
};

template <typename T>
T Xor(T value, int lane_mask) {
  Thread& self = Self("ShuffleXor");
  if (lane_mask < 0 || lane_mask >= kWarpLanes) {
    self.Refuse("ShuffleXor: a lane mask of {}; expected 0..31", lane_mask);
  }
  Exchange<T> own = {value, value};
  Collective(self, "ShuffleXor", lane_mask, &own, [lane_mask](const auto& operands) {
    for (int lane = 0; lane < kWarpLanes; ++lane) {
      auto* to = static_cast<Exchange<T>*>(operands[lane]);
      to->out = static_cast<Exchange<T>*>(operands[lane ^ lane_mask])->in;
    }
  });
  return own.out;
}

}  // namespace
}  // namespace emulator

using emulator::Self;
using emulator::Thread;

void SyncWarp() {
  emulator::Collective(Self("SyncWarp"), "SyncWarp", 0, nullptr, [](const auto& /*operands*/) {});
}

int BroadcastLane0(int value) {
  emulator::Exchange<int> own = {value, value};
  emulator::Collective(Self("BroadcastLane0"), "BroadcastLane0", 0, &own, [](const auto& operands) {
    const int first = static_cast<emulator::Exchange<int>*>(operands[0])->in;
    for (void* operand : operands) static_cast<emulator::Exchange<int>*>(operand)->out = first;
  });
  return own.out;
}

float ShuffleXor(float value, int lane_mask) {
  return emulator::Xor(internal::Checked(value, "ShuffleXor"), lane_mask);
}
int ShuffleXor(int value, int lane_mask) { return emulator::Xor(value, lane_mask); }

bool ElectOne() {
  Thread& self = Self("ElectOne");
  emulator::Collective(self, "ElectOne", 0, nullptr, [](const auto& /*operands*/) {});
  return self.lane() == self.machine->elected_lane();
}

}  // namespace dbsp::kernels::gpu::isa
