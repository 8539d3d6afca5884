// SPDX-License-Identifier: Apache-2.0
// cp.async: copies of 16 bytes per thread, through the generic proxy.
#include <algorithm>
#include <cstring>

#include "tests/gpu_emulator/machine.h"
#include "tests/gpu_emulator/mbarrier.h"

namespace dbsp::kernels::gpu::isa {
namespace emulator {
namespace {

/// True when no operation numbered below `end` is in flight.
bool AllDoneBefore(const CopyState& copies, std::uint64_t end) {
  return copies.outstanding.empty() || copies.outstanding.front() >= end;
}

/// Executes the arrivals of CopyAsyncBarrierArrive whose copies are complete.
void ArriveWhereDone(Thread& self) {
  auto& arrivals = self.copies.arrivals;
  for (std::size_t i = 0; i < arrivals.size();) {
    if (!AllDoneBefore(self.copies, arrivals[i].after)) {
      ++i;
      continue;
    }
    const int offset = arrivals[i].offset;
    arrivals.erase(arrivals.begin() + static_cast<std::ptrdiff_t>(i));
    Arrive(*self.block, offset, 1, 0, &self);
  }
}

void Finish(Thread& self, std::uint64_t number, SharedSpan span, const void* src, int bytes) {
  std::array<std::uint8_t, 16> line = {};
  if (bytes > 0) std::memcpy(line.data(), src, static_cast<std::size_t>(bytes));
  self.block->shared.Land(span, line.data(), self.index);
  auto& outstanding = self.copies.outstanding;
  outstanding.erase(std::lower_bound(outstanding.begin(), outstanding.end(), number));
  ArriveWhereDone(self);
  self.machine->Wake(self.copies.waiters);
}

}  // namespace
}  // namespace emulator

using emulator::Self;
using emulator::SharedSpan;
using emulator::Thread;

void CopyAsync16(std::uint32_t dst, const void* src, int bytes) {
  Thread& self = Self("CopyAsync16");
  if (bytes != 0 && bytes != 16) {
    self.Refuse("CopyAsync16: {} bytes; expected 16, or 0 for zeros", bytes);
  }
  if (bytes != 0) internal::CheckGlobal(src, 16, false, "CopyAsync16");
  const SharedSpan span = {self.block->shared.Offset(self.index, dst, 16, 16, "CopyAsync16"), 16};
  self.block->shared.ClaimWrite(self.index, span, emulator::AsyncKind::kCopyAsync);
  self.machine->report().copy_async_bytes += bytes;
  const std::uint64_t number = self.copies.issued++;
  self.copies.outstanding.push_back(number);
  self.machine->Start(*self.block, [&self, number, span, src, bytes] {
    emulator::Finish(self, number, span, src, bytes);
  });
}

void CopyAsyncCommit() {
  Thread& self = Self("CopyAsyncCommit");
  self.copies.group_ends.push_back(self.copies.issued);
}

void internal::CopyAsyncWait(int groups) {
  Thread& self = Self("CopyAsyncWait");
  self.MaybeYield();
  auto& ends = self.copies.group_ends;
  const auto left = static_cast<std::size_t>(groups);
  if (ends.size() <= left) return;
  const std::uint64_t end = ends[ends.size() - left - 1];
  const emulator::Describe describe = [&] { return fmt::format("in CopyAsyncWait<{}>", groups); };
  self.WaitFor(
      self.copies.waiters, [&] { return emulator::AllDoneBefore(self.copies, end); }, describe);
  ends.erase(ends.begin(), ends.end() - static_cast<std::ptrdiff_t>(left));
}

void CopyAsyncBarrierArrive(std::uint32_t bar) {
  Thread& self = Self("CopyAsyncBarrierArrive");
  const int offset = self.block->shared.Offset(self.index, bar, 8, 8, "CopyAsyncBarrierArrive");
  if (!self.block->mbarriers.contains(offset)) {
    self.Refuse("CopyAsyncBarrierArrive: no mbarrier at shared +{}", offset);
  }
  self.copies.arrivals.push_back({self.copies.issued, offset});
  // The arrival is asynchronous. Without outstanding copies it takes effect immediately.
  emulator::ArriveWhereDone(self);
}

}  // namespace dbsp::kernels::gpu::isa
