// SPDX-License-Identifier: Apache-2.0
#include "profiler/run_trial.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <new>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "kernels/attention.h"
#include "kernels/memory.h"
#include "profiler/cpu/cpu_attention.h"
#include "profiler/cpu/cpu_lists.h"
#include "profiler/ranks/exchange_rank.h"
#include "profiler/ranks/overlap_trial.h"
#include "runtime/clock.h"
#include "runtime/ranks/communicator.h"

namespace dbsp::profiler {
namespace {

/// Measures `run` on this thread, with several calls per sample when one is too short for the
/// clock.
Measurement MeasureCalls(const RunSettings& settings, const std::function<void()>& run) {
  if (settings.interrupted()) return {.stop_reason = "interrupted"};
  MeasureLimits limits = settings.limits;
  const std::int64_t begin = runtime::SteadyNs();
  const int calls =
      CallsPerSample([&](int count) { return count * TimeOnThread(run, count).duration_ns; });
  // Finding the number of calls was one warm-up and has used a part of the budget.
  limits.warmups = std::max(0, limits.warmups - 1);
  limits.budget_ns = std::max<std::int64_t>(0, limits.budget_ns - (runtime::SteadyNs() - begin));
  Measurement measured = Measure(
      limits, [&] { return TimeOnThread(run, calls); }, runtime::SteadyNs, settings.interrupted);
  ++measured.warmups;
  if (calls > 1) {
    if (!measured.detail.empty()) measured.detail += "; ";
    measured.detail += fmt::format("each sample is the mean of {} calls", calls);
  }
  return measured;
}

Measurement RunAttention(const AttentionConfig& c, const RunSettings& settings) {
  CpuAttention attention(c);
  Measurement measured = MeasureCalls(settings, [&] { attention.Run(); });
  if (measured.stop_reason == "interrupted") return measured;
  if (const auto problem = attention.Problem()) throw WrongResult(*problem);
  if (const auto prepare_ns = attention.prepare_ns()) {
    measured.detail = fmt::format("prepared in {:.3f} ms{}{}",
                                  static_cast<double>(*prepare_ns) * 1e-6,
                                  measured.detail.empty() ? "" : "; ",
                                  measured.detail);
  }
  return measured;
}

/// Copies blocks of one head after another from the layout [token][heads][head_dim].
Measurement RunPack(const LocalConfig& c, const RunSettings& settings) {
  constexpr std::int64_t kHeads = 8;
  const std::int64_t block_floats = static_cast<std::int64_t>(c.block.q) * c.head_dim;
  const std::int64_t floats = c.amount / static_cast<std::int64_t>(sizeof(float));
  const std::int64_t token_blocks = floats / (block_floats * kHeads) + 1;
  std::vector<kernels::CopyItem> items;
  for (std::int64_t at = 0; at < floats / c.head_dim * c.head_dim; at += block_floats) {
    const std::int64_t item = at / block_floats;
    const std::int64_t head = item / token_blocks;
    const std::int64_t block = item % token_blocks;
    const std::int64_t tokens = std::min(block_floats, floats - at) / c.head_dim;
    items.push_back({block * c.block.q * kHeads * c.head_dim + head * c.head_dim,
                     at,
                     static_cast<int>(tokens)});
  }
  const auto home = static_cast<std::size_t>(token_blocks * block_floats * kHeads);
  const std::size_t copies = CopiesFor(2 * home * sizeof(float));
  const std::vector<std::vector<float>> from(copies, Values(home, 1));
  std::vector<std::vector<float>> to(copies, std::vector<float>(home));
  std::size_t calls = 0;
  const auto run = [&] {
    const std::size_t i = calls++ % copies;
    kernels::CopyBlocks(
        from[i].data(), kHeads * c.head_dim, to[i].data(), c.head_dim, c.head_dim, items);
  };
  return MeasureCalls(settings, run);
}

Measurement RunMerge(const LocalConfig& c, const RunSettings& settings) {
  const auto rows = static_cast<std::size_t>(c.amount);
  const std::size_t floats = rows * static_cast<std::size_t>(c.head_dim);
  const std::size_t copies = CopiesFor(2 * floats * sizeof(float));
  std::vector<std::vector<float>> o(copies, Values(floats, 1));
  std::vector<std::vector<float>> lse(copies, Values(rows, 2));
  const std::vector<std::vector<float>> part_o(copies, Values(floats, 3));
  const std::vector<float> part_lse = Values(rows, 4);
  std::size_t calls = 0;
  const auto run = [&] {
    const std::size_t i = calls++ % copies;
    kernels::MergePartial(
        c.amount, c.head_dim, o[i].data(), lse[i].data(), part_o[i].data(), part_lse.data());
  };
  return MeasureCalls(settings, run);
}

const NcclWorld& WorldOf(const RunSettings& settings) {
  if (!settings.nccl) Fail(ErrorCode::kUnavailable, "exchanges over NCCL need --device cuda");
  return *settings.nccl;
}

/// Rank 0 measures. The other ranks repeat the exchange until rank 0 sets `done`.
Measurement RunExchange(const ExchangeConfig& c, const RunSettings& settings) {
  const int size = RanksTakingPart(c, settings.ranks);
  if (c.transport == "nccl") {
    return MeasureNccl(c, size, WorldOf(settings), settings.limits, settings.interrupted);
  }
  Measurement result;
  std::atomic<bool> done{false};
  std::vector<std::int64_t> begin(size);
  std::vector<std::int64_t> end(size);
  runtime::RunRanks(size, [&](runtime::Communicator& communicator) {
    const auto rank = static_cast<std::size_t>(communicator.rank());
    const ExchangeRank mine(c, communicator.rank(), size);
    const std::vector<float> send(mine.send_floats(), 1.0F);
    std::vector<float> recv(mine.recv_floats());
    const auto once = [&] {
      begin[rank] = runtime::SteadyNs();
      mine.Run(communicator, send.data(), recv.data());
      end[rank] = runtime::SteadyNs();
      communicator.Barrier();
    };
    if (rank != 0) {
      for (communicator.Barrier(); !done; communicator.Barrier()) once();
      return;
    }
    result = Measure(
        settings.limits,
        [&] {
          communicator.Barrier();
          once();
          return Reading{*std::max_element(end.begin(), end.end()) -
                         *std::min_element(begin.begin(), begin.end())};
        },
        runtime::SteadyNs,
        settings.interrupted);
    done = true;
    communicator.Barrier();
  });
  return result;
}

struct Runner {
  const RunSettings& settings;
  Measurement operator()(const AttentionConfig& c) const {
    if (settings.bench) return settings.bench->Measure(c, settings.limits, settings.interrupted);
    return RunAttention(c, settings);
  }
  Measurement operator()(const ExchangeConfig& c) const { return RunExchange(c, settings); }
  Measurement operator()(const OverlapConfig& c) const {
    if (c.exchange.transport != "nccl") {
      return MeasureOverlapOnThreads(c, settings.limits, settings.interrupted);
    }
    return MeasureOverlapOverNccl(c, WorldOf(settings), settings.limits, settings.interrupted);
  }
  Measurement operator()(const LocalConfig& c) const {
    if (settings.bench) return settings.bench->Measure(c, settings.limits, settings.interrupted);
    if (MakesLists(c.op)) return MeasureCalls(settings, ListWork(c));
    return c.op == "pack" ? RunPack(c, settings) : RunMerge(c, settings);
  }
};

}  // namespace

std::string MethodOf(const TrialConfig& config,
                     int ranks,
                     const NcclWorld* nccl,
                     const DeviceBench* bench) {
  if (const auto* overlap = std::get_if<OverlapConfig>(&config)) {
    return overlap->exchange.transport == "nccl" ? "cuda.events.overlap" : "cpu.wall.overlap";
  }
  const auto* exchange = std::get_if<ExchangeConfig>(&config);
  if (exchange == nullptr) return bench == nullptr ? "cpu.thread_time" : DeviceMethod(config);
  const int size = RanksTakingPart(*exchange, ranks);
  const std::string method = exchange->transport != "nccl" ? "cpu.wall"
                             : nccl == nullptr             ? NcclMethod(NcclWorld{})
                                                           : NcclMethod(*nccl);
  return size == exchange->ranks ? method : fmt::format("{}.busy{}", method, size);
}

std::optional<Trial> RunTrial(const TrialConfig& config, const RunSettings& settings) {
  Trial trial;
  trial.suite = settings.suite;
  trial.config = config;
  trial.method = MethodOf(config, settings.ranks, settings.nccl.get(), settings.bench.get());
  trial.started_utc = NowUtc();
  try {
    Measurement measured = std::visit(Runner{settings}, config);
    if (measured.stop_reason == "interrupted") return std::nullopt;
    trial.samples_ns = std::move(measured.samples_ns);
    trial.alone_ns = std::move(measured.alone_ns);
    trial.warmups = measured.warmups;
    trial.discarded = measured.discarded;
    trial.stop_reason = measured.stop_reason;
    trial.detail = measured.detail;
  } catch (const WrongResult& wrong) {
    trial.outcome = TrialOutcome::kWrong;
    trial.detail = wrong.what();
  } catch (const Error& error) {
    trial.outcome = error.code() == ErrorCode::kUnavailable ? TrialOutcome::kUnavailable
                                                            : TrialOutcome::kFailed;
    trial.detail = error.what();
  } catch (const std::bad_alloc&) {
    trial.outcome = TrialOutcome::kUnavailable;
    trial.detail = "not enough memory for the buffers";
  }
  return trial;
}

}  // namespace dbsp::profiler
