// SPDX-License-Identifier: Apache-2.0
// A cell's ranks on the devices that run them: what Replay() drives, whatever the device.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "replay/activity_report.h"
#include "replay/cell.h"
#include "replay/rank.h"
#include "replay/transport.h"
#include "replay/verify.h"
#include "runtime/cupti/cupti_activity.h"
#include "runtime/device.h"
#include "runtime/nccl/nccl_communicator.h"

namespace dbsp::replay {

enum class TransportKind : std::uint8_t { kSerial, kThreads, kNccl };

/// Whether a serial run on a GPU is launched as one CUDA graph. kAuto: when, in the run before, the
/// host took more than half as long to enqueue the run as the device took to do it, for then the
/// device waited for launches. The first run never is one.
enum class GraphMode : std::uint8_t { kAuto, kOn, kOff };

/// Where and how cells run.
struct ExecutionTarget {
  runtime::DeviceSpec device;  ///< nccl: of the plan's rank 0, the others on those that follow
  TransportKind transport = TransportKind::kSerial;
  std::string kernel = {};  ///< "" = the planned one (replay/kernel_lookup.h)
  GraphMode graph = GraphMode::kAuto;
  /// SMs that attention leaves to an exchange that runs beside it, which takes no more than these;
  /// 0 leaves it to both how they share. Over nccl only.
  int sm_margin = 0;
  runtime::NcclOptions nccl = {};
};

/// Type of Q, K, V and O on the device.
[[nodiscard]] DType DTypeOn(const runtime::DeviceSpec& device);

/// One cell.
class CellRunner {
 public:
  virtual ~CellRunner() = default;
  /// Fills and runs; once. returns one timeline per kept run (serial: one of medians)
  /// errors  as RunSerial and RunThreads in transport.h
  [[nodiscard]] virtual std::vector<Timeline> Run(std::span<const Segment> predicted,
                                                  const Repeats& repeats,
                                                  const Observer& observer) = 0;
  [[nodiscard]] virtual std::vector<const Rank*> ranks() const = 0;
  /// What the last run left at home, against the fp64 reference; on a GPU also against a run
  /// without any split.
  [[nodiscard]] virtual VerifyResult Judge(const VerifyOptions& options) = 0;
  /// More runs, with and without CUPTI Activity, which slows the host down: no times of them are
  /// kept but what it costs. After Run().
  [[nodiscard]] virtual ActivityReport Trace(const runtime::ActivityOptions& options);
  /// Of all ranks, on their devices.
  [[nodiscard]] virtual std::int64_t memory_bytes() const = 0;
  [[nodiscard]] virtual std::string kernel() const = 0;
  /// Kept runs that were launched as CUDA graphs.
  [[nodiscard]] virtual int graph_runs() const { return 0; }
};

/// Pass groups of a strategy that have their memory at the same time: over threads and nccl all of
/// them, which run side by side; over serial one, as one thread or device plays every rank anyway.
[[nodiscard]] int GroupsAtOnce(TransportKind transport, const Strategy& strategy);

/// Plans, checks the memory, that of all groups at once, and allocates.
/// cell          made for DTypeOn(on.device), must outlive the runner
/// memory_limit  bytes of host memory; asked of the system when absent
/// errors  Error{kUnavailable} not enough memory, or a kernel, device or transport that is not here
[[nodiscard]] std::unique_ptr<CellRunner> MakeRunner(const Cell& cell,
                                                     const ExecutionTarget& on,
                                                     bool verify,
                                                     const VerifyOptions& limits,
                                                     std::optional<std::int64_t> memory_limit);

namespace internal {
[[nodiscard]] std::unique_ptr<CellRunner> MakeSerialGpuRunner(const Cell& cell,
                                                              const ExecutionTarget& on,
                                                              bool verify);
[[nodiscard]] std::unique_ptr<CellRunner> MakeNcclRunner(const Cell& cell,
                                                         const ExecutionTarget& on,
                                                         bool verify);
}  // namespace internal

}  // namespace dbsp::replay
