// SPDX-License-Identifier: Apache-2.0
// Records that the measuring modules make and the database stores. Times are integer nanoseconds;
// what is missing is std::optional, never 0 or -1.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/shape.h"
#include "core/strategy.h"

namespace dbsp {

/// The machine, build and command a measurement was made with.
struct Provenance {
  std::string device_kind;  ///< "cpu" or "cuda"
  std::string device_name;  ///< CPU model or GPU name
  std::string device_uuid;  ///< GPU UUID, "" for a CPU
  std::string host;
  int cores = 0;
  std::int64_t memory_bytes = 0;
  std::string compiler;
  std::string build_type;
  std::string git_commit;
  std::optional<bool> git_dirty;  ///< whether the build has uncommitted changes
  std::string version;
  std::vector<std::string> argv;
  std::string started_utc;  ///< ISO 8601
  /// Everything else by name: "governor", "driver", "NCCL_ALGO", "sm_clock_mhz", ...
  std::map<std::string, std::string> extra;
};

/// An attention kernel: what it can run, and what it was compiled as. Where it fits any value, or
/// where the database knows a kernel by its name alone, the field is missing.
struct KernelVariant {
  std::string name;  ///< unique: "sm90.block128x128.d128", "cpu.block_sparse"
  std::optional<std::string> list = {};  ///< what a mask's lists name: "blocks" or "keys"
  std::optional<int> arch = {};  ///< lowest compute capability times ten; missing on a CPU
  std::optional<int> head_dim = {};
  std::optional<int> q_block = {};  ///< tokens per query block of the lists
  std::optional<int> k_block = {};  ///< tokens per key block; 1 for lists of keys
  std::optional<int> tile_m = {};  ///< query rows of a thread block
  std::optional<int> tile_n = {};  ///< keys of a step of the main loop
  std::optional<int> stages = {};
  std::optional<int> threads = {};  ///< of a thread block
  std::optional<int> shared_bytes = {};  ///< dynamic shared memory of a thread block
  std::optional<bool> deterministic = {};  ///< bit-identical results over repeated runs
  bool operator==(const KernelVariant&) const = default;
};

/// Whether the kernel takes this head dimension and masks of these blocks; what is missing fits.
[[nodiscard]] bool Fits(const KernelVariant& kernel, int head_dim, const BlockSize& block);

/// Attention of `heads` heads on one rank, masks drawn by `pattern`.
struct AttentionConfig {
  std::string kernel;  ///< variant name, for example "cpu.block_sparse"
  DType dtype = DType::kF32;
  int heads = 1;
  int head_dim = 128;
  BlockSize block;
  int q_blocks = 0;
  int k_blocks = 0;
  std::string pattern;  ///< "dense", "uniform", "skewed", "band", "radial"
  std::uint64_t seed = 0;
  std::int64_t active_blocks = 0;  ///< over all heads
  std::int64_t active_rows = 0;  ///< (head, query block) with at least one key block
};

/// An exchange between `ranks` ranks.
struct ExchangeConfig {
  std::string op;  ///< "alltoall", "hop", "allgather", "reducescatter", "needed"
  std::string transport;  ///< "threads", "nccl", "mpi"
  int ranks = 1;
  std::int64_t bytes_per_rank =
      0;  ///< most bytes one rank sends to others (allgather: receives from others)
  double unevenness = 1.0;  ///< heaviest rank's bytes / mean
  int nodes = 1;  ///< hosts that the ranks of a group are on
};

/// Local memory work: "pack" (and unpack) in bytes copied, "merge" in (query, head) rows.
struct LocalConfig {
  std::string op;  ///< "pack", "merge"
  std::int64_t amount = 0;  ///< bytes for pack, rows for merge
  int head_dim = 128;
  BlockSize block;
};

/// Which of two things that run at once is timed; the other one goes on around it.
enum class TimedSide : std::uint8_t { kAttention, kExchange };
[[nodiscard]] const char* NameOf(TimedSide side);  ///< "attention", "exchange"
/// errors  Error{kInvalidArgument} naming the nearest known one
[[nodiscard]] TimedSide ParseTimedSide(std::string_view name);

/// Attention on every rank while the ranks exchange.
struct OverlapConfig {
  AttentionConfig attention;  ///< one rank's
  ExchangeConfig exchange;
  int sm_margin = 0;  ///< SMs that attention leaves free and NCCL may take; 0 = neither is limited
  TimedSide timed = TimedSide::kAttention;
};

using TrialConfig = std::variant<AttentionConfig, ExchangeConfig, LocalConfig, OverlapConfig>;

enum class TrialOutcome : std::uint8_t { kOk, kWrong, kFailed, kTimeout, kUnavailable };
[[nodiscard]] const char* NameOf(TrialOutcome outcome);
[[nodiscard]] TrialOutcome ParseTrialOutcome(std::string_view name);

/// One measured configuration.
struct Trial {
  std::string suite;  ///< "quick", "full", "refine"
  TrialConfig config;
  TrialOutcome outcome = TrialOutcome::kOk;
  std::string detail;  ///< one line: what went wrong, what was discarded, calls per sample
  std::string method;  ///< "cpu.thread_time", "cpu.wall", "cuda.events.cold", ...
  std::string stop_reason;  ///< "spread", "budget", "max_samples", "run_budget"
  std::int64_t warmups = 0;
  std::int64_t discarded = 0;  ///< samples thrown away, reason in detail
  std::vector<std::int64_t> samples_ns;  ///< every kept sample in order
  /// Of an overlap: the same call with nothing beside it, a sample before each of samples_ns.
  std::vector<std::int64_t> alone_ns = {};
  std::string started_utc;
};

/// Canonical text of a configuration: equal text = same measurement. Used as the resume key.
[[nodiscard]] std::string KeyOf(const TrialConfig& config);
/// The configuration with that key. errors Error{kCorruptInput} for a text that is none
[[nodiscard]] TrialConfig ConfigOf(const std::string& key);

/// One replayed (step, layer) with its predicted and replayed times.
struct ReplayCell {
  int step = 0;
  int layer = 0;
  /// Number of cells of the plan that this one stands for, itself included. Missing in records
  /// that a database older than schema version 9 holds.
  std::optional<std::int64_t> multiplicity;
  std::int64_t predicted_ns = 0;
  std::int64_t replayed_ns = 0;
  std::optional<double> relative_error;  ///< Frobenius, when verified
  std::optional<double> max_abs_error;
  std::optional<double> lse_error;  ///< largest difference of a row's log-sum-exp
  std::vector<Segment> segments;  ///< replayed, with the predictions of the plan
};

struct ReplayRecord {
  std::string plan_hash;
  std::string workload_hash;
  std::string device;
  std::string transport;  ///< "serial", "threads", ...
  std::string exchange_source;  ///< "measured in this run" or where composed times come from
  int ranks = 1;
  bool verified = false;
  bool passed = true;
  std::string started_utc;
  std::vector<ReplayCell> cells;
};

}  // namespace dbsp
