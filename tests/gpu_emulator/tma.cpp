// SPDX-License-Identifier: Apache-2.0
// Tensor copies between global and shared memory, with the 128-byte swizzle.
// source  PTX ISA, cp.async.bulk.tensor, tiled mode; CUDA driver API, cuTensorMapEncodeTiled
#include <algorithm>
#include <cstring>

#include "tests/gpu_emulator/machine.h"
#include "tests/gpu_emulator/mbarrier.h"

namespace dbsp::kernels::gpu::isa {
namespace emulator {
namespace {

constexpr int kElement = 2;  ///< bytes of a bf16

struct Position {
  int d = 0;
  int row = 0;
  int head = 0;
  int batch = 0;
};

int BoxBytes(const TensorMap& map) {
  return map.box[0] * map.box[1] * map.box[2] * map.box[3] * kElement;
}

/// Offset in shared memory of the 16-byte chunk that holds byte `linear` of the packed box at
/// `base`: the swizzle replaces address bits 4 to 6 by their exclusive or with bits 7 to 9.
int Swizzled(int base, int linear) {
  const int at = base + linear;
  return at ^ ((at >> 3) & 0x70);
}

/// Calls visit(linear byte in the box, address of the global row or null, first valid element, end
/// of the valid elements) for every box row; an out-of-bounds row has no valid elements.
template <typename Visit>
void ForEachRow(const TensorMap& map, const Position& at, const Visit& visit) {
  int linear = 0;
  const int begin = std::clamp(-at.d, 0, map.box[0]);
  const auto end =
      static_cast<int>(std::clamp<std::int64_t>(map.dims[0] - at.d, begin, map.box[0]));
  for (int b = at.batch; b < at.batch + map.box[3]; ++b) {
    for (int h = at.head; h < at.head + map.box[2]; ++h) {
      for (int r = at.row; r < at.row + map.box[1]; ++r) {
        const bool inside = b >= 0 && b < map.dims[3] && h >= 0 && h < map.dims[2] && r >= 0 &&
                            r < map.dims[1] && begin < end;
        std::uint8_t* row = map.data;
        if (inside) {
          row += b * map.strides[2] + h * map.strides[1] + r * map.strides[0] +
                 static_cast<std::int64_t>(at.d) * kElement;
        }
        visit(linear, inside ? row : nullptr, begin, end);
        linear += map.box[0] * kElement;
      }
    }
  }
}

/// The box as TMA would leave it in shared memory, from `base` on.
std::vector<std::uint8_t> Gather(const TensorMap& map, const Position& at, int base) {
  std::vector<std::uint8_t> bytes(BoxBytes(map), 0);
  ForEachRow(map, at, [&](int linear, const std::uint8_t* row, int begin, int end) {
    if (row == nullptr) return;
    std::array<std::uint8_t, kPanelBytes> line = {};
    std::memcpy(line.data() + begin * kElement,
                row + begin * kElement,
                static_cast<std::size_t>((end - begin) * kElement));
    for (int chunk = 0; chunk < map.box[0] * kElement; chunk += 16) {
      std::memcpy(bytes.data() + Swizzled(base, linear + chunk) - base, line.data() + chunk, 16);
    }
  });
  return bytes;
}

/// The reverse; elements out of bounds are dropped.
void Scatter(const TensorMap& map, const Position& at, int base, const std::uint8_t* bytes) {
  ForEachRow(map, at, [&](int linear, std::uint8_t* row, int begin, int end) {
    if (row == nullptr) return;
    std::array<std::uint8_t, kPanelBytes> line = {};
    for (int chunk = 0; chunk < map.box[0] * kElement; chunk += 16) {
      std::memcpy(line.data() + chunk, bytes + Swizzled(base, linear + chunk) - base, 16);
    }
    std::memcpy(row + begin * kElement,
                line.data() + begin * kElement,
                static_cast<std::size_t>((end - begin) * kElement));
  });
}

void CheckRows(const TensorMap& map, const Position& at, bool write, const char* name) {
  ForEachRow(map, at, [&](int /*linear*/, const std::uint8_t* row, int begin, int end) {
    if (row == nullptr) return;
    for (int i = begin; i < end; ++i) {
      if (i == begin || i == end - 1) internal::CheckGlobal(row + i * kElement, 2, write, name);
    }
  });
}

SharedSpan Box(Thread& self, const TensorMap& map, std::uint32_t addr, const char* name) {
  if (map.data == nullptr || map.box[0] * kElement != kPanelBytes) {
    self.Refuse("{}: a map with boxes {} wide; the emulator has boxes of 64 values, one panel",
                name,
                map.box[0]);
  }
  const int bytes = BoxBytes(map);
  return {self.block->shared.Offset(self.index, addr, bytes, 1024, name), bytes};
}

}  // namespace
}  // namespace emulator

using emulator::Block;
using emulator::Mbarrier;
using emulator::Position;
using emulator::Self;
using emulator::SharedSpan;
using emulator::StoreGroup;
using emulator::Thread;

TensorMap MakeTensorMap(void* data,
                        const std::array<std::int64_t, 4>& dims,
                        const std::array<std::int64_t, 3>& stride_bytes,
                        const std::array<int, 4>& box) {
  bool ok = data != nullptr && reinterpret_cast<std::uintptr_t>(data) % 16 == 0;
  for (const std::int64_t dim : dims) ok = ok && dim >= 1 && dim <= std::int64_t{1} << 32;
  for (const std::int64_t stride : stride_bytes) ok = ok && stride % 16 == 0 && stride >= 0;
  for (const int extent : box) ok = ok && extent >= 1 && extent <= 256;
  if (!ok || box[0] * 2 > kPanelBytes || box[0] * 2 % 16 != 0) {
    Fail(ErrorCode::kInvalidArgument,
         "MakeTensorMap: data {}, dims {} {} {} {}, strides {} {} {}, box {} {} {} {}: data and "
         "strides are multiples of 16 bytes, a box is 1..256 and its first row at most 128 bytes",
         data,
         dims[0],
         dims[1],
         dims[2],
         dims[3],
         stride_bytes[0],
         stride_bytes[1],
         stride_bytes[2],
         box[0],
         box[1],
         box[2],
         box[3]);
  }
  return {static_cast<std::uint8_t*>(data), dims, stride_bytes, box};
}

void TmaLoad(std::uint32_t dst,
             const TensorMap* map,
             int d,
             int row,
             int head,
             int batch,
             std::uint32_t bar,
             std::uint64_t cache_policy) {
  Thread& self = Self("TmaLoad");
  self.MaybeYield();
  if (cache_policy != kEvictNormal && cache_policy != kEvictFirst && cache_policy != kEvictLast) {
    self.Refuse("TmaLoad: cache policy {:#x} is none of types.h's", cache_policy);
  }
  Block& block = *self.block;
  const SharedSpan span = emulator::Box(self, *map, dst, "TmaLoad");
  const Position at = {d, row, head, batch};
  emulator::CheckRows(*map, at, false, "TmaLoad");
  const int offset = block.shared.Offset(self.index, bar, 8, 8, "TmaLoad");
  const auto found = block.mbarriers.find(offset);
  if (found == block.mbarriers.end() || !found->second.fenced) {
    self.Refuse("TmaLoad: shared +{} is no mbarrier that BarrierInitFence made visible", offset);
  }
  block.shared.ClaimWrite(self.index, span, emulator::AsyncKind::kTmaLoad);
  ++found->second.loads_in_flight;
  RunReport& report = self.machine->report();
  ++report.tma_loads;
  report.tma_load_bytes += span.bytes;
  self.machine->Start(block, [&block, map = *map, at, span, offset] {
    block.shared.Land(span, emulator::Gather(map, at, span.offset).data(), std::nullopt);
    --block.mbarriers.at(offset).loads_in_flight;
    emulator::Arrive(block, offset, 0, -span.bytes, nullptr);
  });
}

void TmaStore(const TensorMap* map, int d, int row, int head, int batch, std::uint32_t src) {
  Thread& self = Self("TmaStore");
  self.MaybeYield();
  Block& block = *self.block;
  const SharedSpan span = emulator::Box(self, *map, src, "TmaStore");
  const Position at = {d, row, head, batch};
  emulator::CheckRows(*map, at, true, "TmaStore");
  block.shared.CheckAsyncRead(
      self.index, span, block.shared.fence_time(self.index), emulator::AsyncKind::kTmaStore);
  block.shared.ClaimRead(span, emulator::AsyncKind::kTmaStore);
  StoreGroup& group = self.store_groups.back();
  group.claimed.push_back(span);
  ++group.unread;
  ++group.unwritten;
  ++self.machine->report().tma_stores;
  // A deque keeps its elements' addresses; groups leave it only when both counts are 0.
  auto write = [&self, &group, map = *map, at, span](const std::vector<std::uint8_t>& bytes) {
    emulator::Scatter(map, at, span.offset, bytes.data());
    --group.unwritten;
    self.machine->Wake(self.store_waiters);
  };
  self.machine->Start(block, [&self, &block, &group, span, write] {
    const std::uint8_t* from = block.shared.data() + span.offset;
    std::vector<std::uint8_t> bytes(from, from + span.bytes);
    --group.unread;
    self.machine->Wake(self.store_waiters);
    self.machine->Start(block, [write, bytes = std::move(bytes)] { write(bytes); });
  });
}

void TmaStoreCommit() { Self("TmaStoreCommit").store_groups.emplace_back(); }

void internal::TmaStoreWait(int groups, bool read_only) {
  Thread& self = Self("TmaStoreWait");
  self.MaybeYield();
  // The last group is open and not waited for.
  const int committed = static_cast<int>(self.store_groups.size()) - 1;
  const auto first_free = static_cast<std::size_t>(std::max(committed - groups, 0));
  const char* name = read_only ? "TmaStoreWaitRead" : "TmaStoreWait";
  const auto done = [&] {
    for (std::size_t i = 0; i < first_free; ++i) {
      const StoreGroup& group = self.store_groups[i];
      if (group.unread > 0 || (!read_only && group.unwritten > 0)) return false;
    }
    return true;
  };
  const emulator::Describe describe = [&] { return fmt::format("in {}<{}>", name, groups); };
  self.WaitFor(self.store_waiters, done, describe);
  for (std::size_t i = 0; i < first_free; ++i) {
    for (const SharedSpan& span : self.store_groups[i].claimed) {
      self.block->shared.ReleaseRead(span);
    }
    self.store_groups[i].claimed.clear();
  }
  // wait_group counts groups that are not done; finished ones may be forgotten from the front.
  while (self.store_groups.size() > 1 && self.store_groups.front().unwritten == 0 &&
         self.store_groups.front().claimed.empty()) {
    self.store_groups.pop_front();
  }
}

}  // namespace dbsp::kernels::gpu::isa
