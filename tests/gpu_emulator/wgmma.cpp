// SPDX-License-Identifier: Apache-2.0
// wgmma.mma_async: 128 threads issue a product, the product runs at some later time, and each
// thread receives its accumulators at its wait. source  PTX ISA, "Asynchronous Warpgroup Level
// Matrix Instructions"
#include <algorithm>
#include <cstring>

#include "tests/gpu_emulator/machine.h"
#include "tests/gpu_emulator/wgmma_product.h"

namespace dbsp::kernels::gpu::isa {
namespace emulator {
namespace {

using Accumulator = WgmmaThread::Accumulator;

struct Issue {
  const char* name;
  int n;
  float* d;
  const std::uint32_t* a;
  std::uint64_t desc_a;
  std::uint64_t desc_b;
  bool accumulate;
};

WarpgroupState& GroupOf(Thread& self, const char* name) {
  const auto group = static_cast<std::size_t>(self.group());
  if (group >= self.block->warpgroups.size()) {
    self.Refuse("{}: its four warps are not all there; wgmma needs 128 aligned threads", name);
  }
  return self.block->warpgroups[group];
}

/// across  rows of A, columns of B
void AppendReads(Thread& self,
                 const Issue& issue,
                 std::uint64_t bits,
                 bool mn_major,
                 int across,
                 WgmmaProduct& product) {
  const Descriptor descriptor = Decode(bits);
  if (descriptor.swizzle != 1 || descriptor.base_offset != 0 || descriptor.start / 128 % 8 != 0) {
    self.Refuse(
        "{}: descriptor {:#x} has swizzle {}, base offset {} and start {}; expected the "
        "128-byte swizzle (1) on a tile at a multiple of 1024",
        issue.name,
        bits,
        descriptor.swizzle,
        descriptor.base_offset,
        descriptor.start);
  }
  const std::vector<SharedSpan> pieces = mn_major
                                             ? Pieces(descriptor, true, kProductDepth, across / 8)
                                             : Pieces(descriptor, false, across, 2);
  for (const SharedSpan& piece : pieces) {
    if (piece.offset >= 0 && piece.offset + piece.bytes <= self.block->shared.bytes()) continue;
    self.Refuse("{}: descriptor {:#x} reaches shared +{}, outside of the block's {} bytes",
                issue.name,
                bits,
                piece.offset,
                self.block->shared.bytes());
  }
  product.reads.insert(product.reads.end(), pieces.begin(), pieces.end());
}

void CheckReads(Thread& self, const WgmmaProduct& product, std::uint64_t fence) {
  for (const SharedSpan& piece : product.reads) {
    self.block->shared.CheckAsyncRead(self.index, piece, fence, AsyncKind::kWgmma);
  }
}

/// Creates the product when the first thread issues it, and claims its reads of shared memory.
WgmmaProduct& Create(Thread& self, WarpgroupState& group, const Issue& issue) {
  WgmmaProduct product;
  product.n = issue.n;
  product.a_in_registers = issue.a != nullptr;
  product.accumulate = issue.accumulate;
  product.desc_a = issue.desc_a;
  product.desc_b = issue.desc_b;
  if (product.a_in_registers) product.a.resize(std::size_t{kWarpgroupThreads} * 4);
  if (issue.a == nullptr) AppendReads(self, issue, issue.desc_a, false, kProductRows, product);
  // RS is the product with P in registers and V in shared memory: B is MN-major.
  AppendReads(self, issue, issue.desc_b, issue.a != nullptr, issue.n, product);
  CheckReads(self, product, self.block->shared.fence_time(self.index));
  for (const SharedSpan& piece : product.reads) {
    self.block->shared.ClaimRead(piece, AsyncKind::kWgmma);
  }
  group.products.push_back(std::move(product));
  return group.products.back();
}

/// The accumulators d in flight, or null. errors  Error{kInternal} when d overlaps others in flight
Accumulator* FindAccumulator(Thread& self, const Issue& issue) {
  const float* end = issue.d + issue.n / 2;
  for (Accumulator& other : self.wgmma.in_flight) {
    if (other.d == issue.d && other.count == issue.n / 2) return &other;
    if (other.d < end && issue.d < other.d + other.count) {
      self.Refuse("{}: accumulators overlap those of a wgmma in flight", issue.name);
    }
  }
  return nullptr;
}

void CheckAgrees(Thread& self, const WgmmaProduct& product, const Issue& issue, bool fresh) {
  if (product.n == issue.n && product.a_in_registers == (issue.a != nullptr) &&
      product.accumulate == issue.accumulate && product.desc_a == issue.desc_a &&
      product.desc_b == issue.desc_b && product.fresh == fresh) {
    return;
  }
  self.Refuse(
      "{}<{}>(a {:#x}, b {:#x}, accumulate {}, {} accumulators): another thread of the "
      "warpgroup issued {}<{}>(a {:#x}, b {:#x}, accumulate {}, {} accumulators)",
      issue.name,
      issue.n,
      issue.desc_a,
      issue.desc_b,
      issue.accumulate,
      fresh ? "new" : "in-flight",
      product.a_in_registers ? "WgmmaRS" : "WgmmaSS",
      product.n,
      product.desc_a,
      product.desc_b,
      product.accumulate,
      product.fresh ? "new" : "in-flight");
}

void RunNext(Block& block, WarpgroupState& group) {
  WgmmaProduct& product = group.at(group.next_run++);
  WgmmaChain& chain = *product.chain;
  const int n = product.n;
  if (chain.matrix.empty()) {
    chain.matrix.resize(kProductRows * n);
    for (int t = 0; t < kWarpgroupThreads; ++t) {
      for (int i = 0; i < n / 2; ++i) {
        chain.matrix[AccumulatorRow(t, i) * n + AccumulatorColumn(t, i)] =
            chain.initial[t * (n / 2) + i];
      }
    }
  }
  if (!product.accumulate) std::fill(chain.matrix.begin(), chain.matrix.end(), 0.0F);
  std::array<float, std::size_t{kProductRows} * kProductDepth> a;
  std::array<float, std::size_t{kProductDepth} * 256> b;
  if (product.a_in_registers) {
    FragmentsToA(product.a.data(), a.data());
  } else {
    ReadA(block.shared.data(), Decode(product.desc_a), a.data());
  }
  ReadB(block.shared.data(), Decode(product.desc_b), product.a_in_registers, n, b.data());
  MultiplyAdd(n, a.data(), b.data(), chain.matrix.data());
  RunReport& report = block.machine->report();
  ++report.wgmma_count;
  report.wgmma_multiply_adds += std::int64_t{kProductRows} * kProductDepth * n;
  block.machine->Wake(group.waiters);
}

/// Adds this thread to a product and marks its accumulators as in flight. The last of the 128
/// threads starts the product.
void Join(Thread& self, WarpgroupState& group, WgmmaProduct& product, const Issue& issue) {
  const std::uint64_t number = self.wgmma.issued++;
  const int t = self.index % kWarpgroupThreads;
  const int count = issue.n / 2;
  if (Accumulator* own = FindAccumulator(self, issue); own != nullptr) {
    own->last = number;
  } else {
    float* initial = product.chain->initial.data() + static_cast<std::ptrdiff_t>(t) * count;
    std::memcpy(initial, issue.d, static_cast<std::size_t>(count) * sizeof(float));
    // As integers: a copy as float could quiet the NaN.
    constexpr std::uint32_t kMark = internal::kInFlightBits;
    for (int i = 0; i < count; ++i) std::memcpy(issue.d + i, &kMark, sizeof(kMark));
    self.wgmma.in_flight.push_back({issue.d, count, number});
  }
  if (issue.a != nullptr) {
    std::memcpy(product.a.data() + static_cast<std::ptrdiff_t>(t) * 4, issue.a, 16);
    WgmmaThread::Fragment fragment = {issue.a, {}, number};
    std::memcpy(fragment.value.data(), issue.a, 16);
    self.wgmma.fragments.push_back(fragment);
  }
  if (++product.issued < kWarpgroupThreads) return;
  std::uint64_t oldest_fence = self.block->shared.fence_time(self.index);
  for (int i = 0; i < kWarpgroupThreads; ++i) {
    const int thread = self.group() * kWarpgroupThreads + i;
    oldest_fence = std::min(oldest_fence, self.block->shared.fence_time(thread));
  }
  CheckReads(self, product, oldest_fence);
  self.machine->Start(*self.block, [block = self.block, &group] { RunNext(*block, group); });
}

void Deliver(Thread& self, const WarpgroupState& group, const Accumulator& own) {
  const WgmmaChain& chain = *group.products[own.last - group.first].chain;
  const int t = self.index % kWarpgroupThreads;
  for (int i = 0; i < own.count; ++i) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, own.d + i, sizeof(bits));
    if (bits != internal::kInFlightBits) {
      self.Refuse("WgmmaWait: accumulator {} of {} was written while its wgmma was in flight",
                  i,
                  own.count);
    }
    own.d[i] = chain.matrix[AccumulatorRow(t, i) * chain.n + AccumulatorColumn(t, i)];
  }
}

/// Returns registers and shared memory of the products below `end` to the thread.
void Retire(Thread& self, WarpgroupState& group, std::uint64_t end) {
  WgmmaThread& own = self.wgmma;
  for (; own.waited < end; ++own.waited) {
    WgmmaProduct& product = group.at(own.waited);
    if (product.waits++ > 0) continue;
    for (const SharedSpan& piece : product.reads) self.block->shared.ReleaseRead(piece);
  }
  for (const WgmmaThread::Fragment& fragment : own.fragments) {
    if (fragment.product < end && std::memcmp(fragment.a, fragment.value.data(), 16) != 0) {
      self.Refuse(
          "WgmmaWait: the A registers of a WgmmaRS changed while it was in flight; keep "
          "them in an array of their own until the wait");
    }
  }
  std::erase_if(own.fragments, [end](const auto& fragment) { return fragment.product < end; });
  for (const Accumulator& accumulator : own.in_flight) {
    if (accumulator.last < end) Deliver(self, group, accumulator);
  }
  std::erase_if(own.in_flight, [end](const Accumulator& each) { return each.last < end; });
  while (!group.products.empty() && group.products.front().waits == kWarpgroupThreads) {
    group.products.pop_front();
    ++group.first;
  }
}

}  // namespace
}  // namespace emulator

using emulator::Self;
using emulator::Thread;
using emulator::WarpgroupState;
using emulator::WgmmaProduct;

void internal::Wgmma(int n,
                     float* d,
                     const std::uint32_t* a,
                     std::uint64_t desc_a,
                     std::uint64_t desc_b,
                     bool accumulate) {
  const char* name = a == nullptr ? "WgmmaSS" : "WgmmaRS";
  Thread& self = Self(name);
  self.MaybeYield();
  WarpgroupState& group = emulator::GroupOf(self, name);
  const emulator::Issue issue = {name, n, d, a, desc_a, desc_b, accumulate};
  const emulator::Accumulator* own = emulator::FindAccumulator(self, issue);
  if (!self.wgmma.fenced && (own == nullptr || a != nullptr)) {
    self.Refuse("{}: no WgmmaFence since the thread last had its registers back", name);
  }
  const bool is_first = self.wgmma.issued == group.first + group.products.size();
  WgmmaProduct& product =
      is_first ? emulator::Create(self, group, issue) : group.at(self.wgmma.issued);
  if (is_first) {
    product.fresh = own == nullptr;
    product.chain =
        own == nullptr ? std::make_shared<emulator::WgmmaChain>() : group.at(own->last).chain;
    product.chain->n = n;
    if (product.fresh) product.chain->initial.resize(64 * n);
  }
  emulator::CheckAgrees(self, product, issue, own == nullptr);
  const unsigned warp_bit = 1U << static_cast<unsigned>(self.warp() % 4);
  if (!is_first && (product.warps_seen & warp_bit) == 0) {
    emulator::CheckReads(self, product, self.block->shared.fence_time(self.index));
  }
  product.warps_seen |= warp_bit;
  emulator::Join(self, group, product, issue);
}

void WgmmaFence() { Self("WgmmaFence").wgmma.fenced = true; }

void WgmmaCommit() {
  Thread& self = Self("WgmmaCommit");
  self.wgmma.group_ends.push_back(self.wgmma.issued);
}

void internal::WgmmaWait(int groups) {
  Thread& self = Self("WgmmaWait");
  self.MaybeYield();
  WarpgroupState& group = emulator::GroupOf(self, "WgmmaWait");
  auto& ends = self.wgmma.group_ends;
  const auto left = static_cast<std::size_t>(groups);
  if (ends.size() <= left) return;
  const std::uint64_t end = ends[ends.size() - left - 1];
  const emulator::Describe describe = [&] {
    return fmt::format("in WgmmaWait<{}>: {} of 128 threads have issued the current product",
                       groups,
                       group.at(group.next_run).issued);
  };
  self.WaitFor(
      group.waiters, [&] { return group.next_run >= end; }, describe);
  ends.erase(ends.begin(), ends.end() - static_cast<std::ptrdiff_t>(left));
  if (end > self.wgmma.waited) self.wgmma.fenced = false;
  emulator::Retire(self, group, end);
}

void internal::Touch(const float* r, int count) {
  Thread& self = Self("Touch");
  for (const auto& other : self.wgmma.in_flight) {
    if (other.d < r + count && r < other.d + other.count) {
      self.Refuse("Touch: accumulators of a wgmma that has not been waited for");
    }
  }
}

}  // namespace dbsp::kernels::gpu::isa
