// SPDX-License-Identifier: Apache-2.0
// Runs the ranks of one cell on their devices. Replay() uses this interface for every device and
// transport.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
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

/// Whether a serial run on a GPU is launched as one CUDA graph. kAuto uses a graph when, in the
/// previous run, enqueueing took the host more than half of the device's time: the device then
/// waits for launches. The first run is never a graph.
enum class GraphMode : std::uint8_t { kAuto, kOn, kOff };

/// Device, transport and kernel options with which cells run.
struct ExecutionTarget {
  runtime::DeviceSpec device;  ///< nccl: device of the plan's rank 0; rank i uses index + i
  TransportKind transport = TransportKind::kSerial;
  std::optional<std::string> kernel = {};  ///< replaces the planned one (replay/kernel_lookup.h)
  GraphMode graph = GraphMode::kAuto;
  /// Number of SMs reserved for an exchange that runs during attention. Attention does not use them
  /// and the exchange uses no others. 0 = no partition. Only with the nccl transport.
  int sm_margin = 0;
  runtime::NcclOptions nccl = {};
};

/// Type of Q, K, V and O on the device.
[[nodiscard]] DType DTypeOn(const runtime::DeviceSpec& device);

/// Runs one cell.
class CellRunner {
 public:
  virtual ~CellRunner() = default;
  /// Generates the inputs and runs. Call it once.
  /// returns one timeline per kept run; with the serial transport a single timeline of medians
  /// errors  those of RunSerial and RunThreads in transport.h
  [[nodiscard]] virtual std::vector<Timeline> Run(std::span<const Segment> predicted,
                                                  const Repeats& repeats,
                                                  const Observer& observer) = 0;
  [[nodiscard]] virtual std::vector<const Rank*> ranks() const = 0;
  /// Verifies the outputs of the last run against the fp64 reference and, on a GPU, against an
  /// unsplit run.
  [[nodiscard]] virtual VerifyResult VerifyOutputs(const VerifyOptions& options) = 0;
  /// Runs the cell again with and without CUPTI Activity. Tracing slows the host down, so only the
  /// report and the overhead are kept, not the times. Call it after Run().
  [[nodiscard]] virtual ActivityReport Trace(const runtime::ActivityOptions& options);
  /// Bytes of the buffers of all ranks.
  [[nodiscard]] virtual std::int64_t memory_bytes() const = 0;
  [[nodiscard]] virtual std::string kernel() const = 0;
  /// Number of runs that were launched as CUDA graphs.
  [[nodiscard]] virtual int graph_runs() const { return 0; }
};

/// Number of pass groups that run concurrently and therefore have buffers at the same time: all
/// groups with threads and nccl; one with serial, where one thread or device runs every rank.
[[nodiscard]] int ConcurrentGroups(TransportKind transport, const Strategy& strategy);

/// Builds the buffers of all ranks after a check of the memory that all concurrent groups need.
/// cell          made for DTypeOn(target.device); must outlive the runner
/// memory_limit  bytes of host memory; when absent, AvailableMemory()
/// errors  Error{kUnavailable} when memory is insufficient, or when the kernel, device or transport
/// is
///         not available
[[nodiscard]] std::unique_ptr<CellRunner> MakeRunner(const Cell& cell,
                                                     const ExecutionTarget& target,
                                                     bool verify,
                                                     const VerifyOptions& limits,
                                                     std::optional<std::int64_t> memory_limit);

namespace internal {
[[nodiscard]] std::unique_ptr<CellRunner> MakeSerialGpuRunner(const Cell& cell,
                                                              const ExecutionTarget& target,
                                                              bool verify);
[[nodiscard]] std::unique_ptr<CellRunner> MakeNcclRunner(const Cell& cell,
                                                         const ExecutionTarget& target,
                                                         bool verify);
}  // namespace internal

}  // namespace dbsp::replay
