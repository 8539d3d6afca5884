// SPDX-License-Identifier: Apache-2.0
// What a suite is made for: the device, the ranks, and a workload or plan.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/plan.h"
#include "core/records.h"
#include "core/workload.h"

namespace dbsp::profiler {

/// Sizes of the suite "collectives", as in nccl-tests.
struct SweepOptions {
  std::int64_t begin_bytes = 32 << 10;
  std::int64_t end_bytes = 32 << 20;
  double factor = 4;
  std::string transport = "threads";  ///< or "nccl"
  /// Number of hosts that `ranks` successive ranks are on.
  std::function<int(int ranks)> nodes_of = [](int) { return 1; };
  /// Number of hosts that a ring of `ranks` ranks is on, when U x R ranks form rings of every U-th
  /// rank. Hops are then measured on both. Null: not measured.
  std::function<int(int ranks)> ring_nodes_of = nullptr;
};

/// The properties of the measured device that a suite depends on.
struct SuiteTarget {
  DType dtype = DType::kF32;  ///< of Q, K and V in memory and in exchanges
  /// Kernels, best first. A shape is measured with the kernels that take it.
  std::vector<KernelVariant> kernels = {{.name = "cpu.block_sparse"}};
  /// Upper limit of operations in one attention call: 0.3 s at 33 GFLOP/s, the rate of a slow core.
  /// A constant and not a measured rate, so that one command always asks for the same trials.
  double most_operations = 1e10;
  /// Upper limit of (head, query block, key block) triples in one call, which bounds the time of
  /// drawing its block lists.
  double most_cells = 1e12;
  /// Upper limit of one trial's DeviceBytes(); nothing = no limit.
  std::optional<std::int64_t> most_bytes = {};
  /// Transport of exchanges; nothing = no exchanges are measured.
  std::optional<std::string> transport = "threads";
  int sm_count = 0;  ///< SMs that attention and exchanges share; 0 on a CPU
};
/// The CPU and its default kernel.
[[nodiscard]] SuiteTarget CpuTarget();
/// A GPU of compute capability `arch` (90 = 9.0) with `free_bytes` of free memory.
/// transport  "nccl" with a GPU for every rank, otherwise nothing
[[nodiscard]] SuiteTarget GpuTarget(int arch,
                                    std::int64_t free_bytes,
                                    std::optional<std::string> transport);

struct SuiteOptions {
  std::string suite = "quick";  ///< "quick", "full", "gather", "collectives" or "overlap"
  int ranks = 8;  ///< most ranks of an exchange; a plan has its own number
  SuiteTarget target = {};
  std::uint64_t seed = 1;
  /// Its shapes come first: every U x R = ranks / cfg degree, for each cfg degree that divides the
  /// guidance passes.
  std::optional<Workload> workload = {};
  std::optional<Plan> plan = {};  ///< only what its strategies use is measured
  SweepOptions sweep = {};
};

}  // namespace dbsp::profiler
