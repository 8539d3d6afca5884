// SPDX-License-Identifier: Apache-2.0
// Replays a plan: runs its cells, verifies the outputs, and records predicted and replayed times.
// dbsp-replay is the command line of Replay(); tests call it in process.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/plan.h"
#include "core/records.h"
#include "planner/workload/mask_source.h"
#include "replay/options.h"
#include "replay/runner.h"
#include "replay/transport.h"
#include "replay/verify.h"

namespace dbsp::replay {

struct ReplayOptions {
  runtime::DeviceSpec device;
  TransportKind transport = TransportKind::kSerial;
  std::optional<std::string> kernel;  ///< replaces the planned one (replay/kernel_lookup.h)
  GraphMode graph = GraphMode::kAuto;
  int sm_margin = 0;  ///< see ExecutionTarget
  runtime::NcclOptions nccl;
  /// When set, every cell is run again with CUPTI Activity.
  std::optional<runtime::ActivityOptions> cupti;
  CellSelection cells;
  Repeats repeats;
  bool verify = false;
  /// False: the limits of a cell are at least the error that its kernel declares.
  bool own_tolerance = false;
  VerifyOptions limits;  ///< limits.seed is ignored; `seed` is used
  std::uint64_t seed = 1;
  Observer observer;
  std::function<void(const std::string&)> progress;  ///< one line per cell
  /// Bytes of memory that the replay may use; when absent, AvailableMemory().
  std::optional<std::int64_t> memory_limit;
};

/// Results of one cell that are not stored in the ReplayCell of the record.
struct CellOutcome {
  std::size_t plan_cell = 0;  ///< index into Plan::cells
  std::int64_t memory_bytes = 0;  ///< buffers of all ranks that are allocated at the same time
  std::string planned_kernel;  ///< as in Strategy::kernel
  std::string kernel;  ///< kernel that ran
  int graph_runs = 0;  ///< number of runs launched as CUDA graphs, warm-ups included
  std::int64_t fastest_ns = 0;  ///< of the kept runs
  std::int64_t slowest_ns = 0;
  std::vector<std::int64_t> active_blocks;  ///< [ranks] blocks computed, over all ring steps
  std::vector<std::int64_t> attention_ns;  ///< [ranks] replayed time, over all ring steps
  std::vector<std::int64_t> bytes_sent;  ///< [ranks] to other ranks, in rounds and hops
  std::optional<VerifyResult> verified;
  std::optional<ActivityReport> activity;  ///< present when ReplayOptions::cupti is set
};

struct ReplayOutcome {
  ReplayRecord record;
  DType dtype = DType::kF32;  ///< of Q, K, V and O in this run
  std::vector<CellOutcome> cells;  ///< in the order of record.cells
};

/// Runs the selected cells one after the other. The pass groups of a cell run concurrently (with
/// the serial transport one after the other), each with its own guidance pass. Where a step needs
/// several waves of passes, only the first wave runs. The kept run with the median makespan is
/// recorded, and the outputs of the last run are verified. A failed verification is recorded
/// (passed = false, problem in the outcome), not thrown. requires masks of the plan's workload. The
/// caller fills record.device and record.started_utc
/// errors  Error{kUnavailable} not enough memory, or a strategy that this replay cannot run;
///         Error{kMismatch} masks of another shape, or exchange times missing in the plan;
///         Error{kMeasurement} naming cell and rank when a rank fails; Error{kInternal} when the
///         executed work differs from the plan
[[nodiscard]] ReplayOutcome Replay(const Plan& plan,
                                   planner::MaskSource& masks,
                                   const ReplayOptions& options);

/// Verification limits for a device. On a GPU inputs of the second product, partial results and
/// outputs are bf16 with 8 bits of mantissa. Log-sum-exp is fp32; its error comes from the device's
/// exponential and from the order of summation.
[[nodiscard]] VerifyOptions LimitsOf(const runtime::DeviceSpec& device);

/// Text that names the source of the exchange times.
[[nodiscard]] std::string ExchangeSourceOf(const Plan& plan, TransportKind transport);

}  // namespace dbsp::replay
