// SPDX-License-Identifier: Apache-2.0
// Replays a plan: runs its cells, checks what came out, and writes down predicted beside replayed.
// dbsp-replay is a command line around Replay(); tests and reports call it in process.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/plan.h"
#include "core/records.h"
#include "planner/workload/mask_source.h"
#include "replay/runner.h"
#include "replay/transport.h"
#include "replay/verify.h"

namespace dbsp::replay {

[[nodiscard]] const char* NameOf(TransportKind transport);
/// errors  Error{kInvalidArgument} naming the nearest known one
[[nodiscard]] TransportKind ParseTransport(std::string_view name);
/// errors  Error{kUnavailable} "--transport nccl: unavailable: ..." when it cannot run on the
/// device
void RequireTransport(TransportKind transport, const runtime::DeviceSpec& device = {});
[[nodiscard]] const char* NameOf(GraphMode mode);
/// errors  Error{kInvalidArgument} naming the nearest known one
[[nodiscard]] GraphMode ParseGraphMode(std::string_view name);

/// Which cells run.
struct CellSelection {
  enum class Kind : std::uint8_t { kAll, kDistinct, kFirst, kOne };
  Kind kind = Kind::kDistinct;
  int first = 0;  ///< kFirst: how many, in plan order
  int step = 0;  ///< kOne
  int layer = 0;  ///< kOne
};
/// Parses "all", "distinct", "first:N" (N >= 1) or "S,L". errors Error{kInvalidArgument}
[[nodiscard]] CellSelection ParseCells(const std::string& text);

/// A cell that runs, and how many cells of the plan it stands for.
struct SelectedCell {
  std::size_t cell = 0;  ///< index into Plan::cells
  std::int64_t multiplicity = 1;
};
/// distinct: the first cell of every (strategy, prediction) stands for all of them, since cells
/// share a prediction exactly when masks and strategy are equal.
/// errors  Error{kInvalidArgument} when the plan has no such cell
[[nodiscard]] std::vector<SelectedCell> SelectCells(const Plan& plan,
                                                    const CellSelection& selection);

struct ReplayOptions {
  runtime::DeviceSpec device;
  TransportKind transport = TransportKind::kSerial;
  std::string kernel;  ///< "" = the planned one (replay/kernel_lookup.h)
  GraphMode graph = GraphMode::kAuto;
  int sm_margin = 0;  ///< as ExecutionTarget's
  runtime::NcclOptions nccl;
  /// One more run of every cell under CUPTI Activity.
  std::optional<runtime::ActivityOptions> cupti;
  CellSelection cells;
  Repeats repeats;
  bool verify = false;
  VerifyOptions limits;  ///< its seed is not used: `seed` is
  std::uint64_t seed = 1;
  Observer observer;
  std::function<void(const std::string&)> progress;  ///< one line per cell
  /// Memory the replay may take; asked of the system when absent.
  std::optional<std::int64_t> memory_limit;
};

/// What a ReplayCell of the record does not hold.
struct CellOutcome {
  std::size_t plan_cell = 0;  ///< index into Plan::cells
  std::int64_t memory_bytes = 0;  ///< buffers of all ranks that have them at the same time
  std::string planned_kernel;  ///< "" = the device's default
  std::string kernel;  ///< that ran
  int graph_runs = 0;  ///< kept and warm-up runs launched as CUDA graphs
  std::int64_t fastest_ns = 0;  ///< of the kept runs
  std::int64_t slowest_ns = 0;
  std::vector<std::int64_t> active_blocks;  ///< [ranks] computed, over all ring steps
  std::vector<std::int64_t> attention_ns;  ///< [ranks] replayed, over all ring steps
  std::vector<std::int64_t> bytes_sent;  ///< [ranks] to other ranks, rounds and hops
  std::optional<VerifyResult> verified;
  std::optional<ActivityReport> activity;  ///< where CUPTI was asked for
};

struct ReplayOutcome {
  ReplayRecord record;
  DType dtype = DType::kF32;  ///< of Q, K, V and O in this run
  std::vector<CellOutcome> cells;  ///< as record.cells
};

/// Runs the selected cells one after the other, a cell's pass groups side by side (over serial one
/// after the other) with a pass each; where the passes take several turns, the first. Of the kept
/// runs of a cell, the one with the median
/// makespan is recorded; the outputs of the last run are verified. The masks must be those of the
/// plan's workload; `record.device` and `started_utc` are the caller's to fill.
/// A failed verification is recorded (passed = false, problem in the outcome), not thrown.
/// errors  Error{kUnavailable} not enough memory, or a strategy that this replay cannot run;
///         Error{kMismatch} masks of another shape, or exchange times missing in the plan;
///         Error{kMeasurement} naming cell and rank when a rank fails;
///         Error{kInternal} when what ran differs from what was planned
[[nodiscard]] ReplayOutcome Replay(const Plan& plan,
                                   planner::MaskSource& masks,
                                   const ReplayOptions& options);

/// What a verification holds outputs to: bf16 rounds to 8 bits of mantissa, inputs of the second
/// product and every partial result as well as the outputs. Log-sum-exp stays in fp32: what it may
/// be off by is the device's exponential and the order of sums, as in gpu_check's limit.
[[nodiscard]] VerifyOptions LimitsOf(const runtime::DeviceSpec& device);

/// Where the exchange times of a serial replay come from, in words.
[[nodiscard]] std::string ExchangeSourceOf(const Plan& plan, TransportKind transport);

}  // namespace dbsp::replay
