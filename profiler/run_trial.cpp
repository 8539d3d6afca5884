// SPDX-License-Identifier: Apache-2.0
#include "profiler/run_trial.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <new>
#include <random>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "kernels/attention.h"
#include "profiler/exchange_rank.h"
#include "profiler/pattern.h"
#include "runtime/clock.h"
#include "runtime/communicator.h"

namespace dbsp::profiler {
namespace {

constexpr std::size_t kColdBytes = 64U << 20U;  // more than the caches a core can use
constexpr std::size_t kMaxCopies = 8;

std::size_t CopiesFor(std::size_t bytes) {
  return std::clamp<std::size_t>(kColdBytes / std::max<std::size_t>(bytes, 1), 1, kMaxCopies);
}

/// Values like those of normalised activations; the same seed gives the same ones. A prime number
/// of them is drawn and repeated: drawing millions would take longer than measuring.
std::vector<float> Values(std::size_t count, std::uint64_t seed) {
  constexpr std::size_t kDrawn = 65'521;
  std::mt19937 random(static_cast<std::uint32_t>(seed));
  std::uniform_real_distribution<float> draw(-1.0F, 1.0F);
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i)
    values[i] = i < kDrawn ? draw(random) : values[i - kDrawn];
  return values;
}

/// Measures `run` on this thread, several calls a sample where one is too short for the clock.
Measurement MeasureCalls(const RunSettings& settings, const std::function<void()>& run) {
  if (settings.interrupted()) return {.stop_reason = "interrupted"};
  MeasureLimits limits = settings.limits;
  const std::int64_t begin = runtime::SteadyNs();
  const int calls =
      CallsPerSample([&](int count) { return count * TimeOnThread(run, count).duration_ns; });
  // Finding that out has warmed up once and has used some of the time.
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

struct AttentionBuffers {
  std::vector<float> q, k, v, o, lse;
};

std::vector<AttentionBuffers> MakeBuffers(const AttentionConfig& c) {
  const auto dim = static_cast<std::size_t>(c.head_dim);
  const auto q_rows = static_cast<std::size_t>(c.heads) * c.q_blocks * c.block.q;
  const auto k_rows = static_cast<std::size_t>(c.heads) * c.k_blocks * c.block.k;
  AttentionBuffers buffers{Values(q_rows * dim, c.seed),
                           Values(k_rows * dim, c.seed + 1),
                           Values(k_rows * dim, c.seed + 2),
                           std::vector<float>(q_rows * dim),
                           std::vector<float>(q_rows)};
  return {CopiesFor((2 * q_rows + 2 * k_rows) * dim * sizeof(float)), buffers};
}

Measurement RunAttention(const AttentionConfig& c, const RunSettings& settings) {
  const kernels::AttentionVariant& variant = kernels::FindCpuAttention(c.kernel);
  const BlockLists lists = MakeLists(c);
  std::vector<AttentionBuffers> buffers = MakeBuffers(c);
  const std::vector<int> q_tokens(static_cast<std::size_t>(c.q_blocks), c.block.q);
  const std::vector<int> k_tokens(static_cast<std::size_t>(c.k_blocks), c.block.k);
  // Every head's offsets start at 0 of its own part of the list.
  const auto rows = static_cast<std::size_t>(c.q_blocks);
  std::vector<std::int64_t> begins;
  for (std::size_t head = 0; head < static_cast<std::size_t>(c.heads); ++head) {
    for (std::size_t i = 0; i <= rows; ++i) {
      begins.push_back(lists.begin[head * rows + i] - lists.begin[head * rows]);
    }
  }
  std::size_t turn = 0;
  const auto run = [&] {
    AttentionBuffers& b = buffers[turn++ % buffers.size()];
    for (std::size_t head = 0; head < static_cast<std::size_t>(c.heads); ++head) {
      const auto q_floats = rows * c.block.q * c.head_dim;
      const auto k_floats = static_cast<std::size_t>(c.k_blocks) * c.block.k * c.head_dim;
      kernels::AttentionArgs args;
      args.head_dim = c.head_dim;
      args.block = c.block;
      args.scale = 0.125F;
      args.q_blocks = c.q_blocks;
      args.k_blocks = c.k_blocks;
      args.q = b.q.data() + head * q_floats;
      args.k = b.k.data() + head * k_floats;
      args.v = b.v.data() + head * k_floats;
      args.q_tokens = q_tokens;
      args.k_tokens = k_tokens;
      args.list_begin = std::span(begins).subspan(head * (rows + 1), rows + 1);
      args.list = std::span(lists.list)
                      .subspan(static_cast<std::size_t>(lists.begin[head * rows]),
                               static_cast<std::size_t>(lists.begin[(head + 1) * rows] -
                                                        lists.begin[head * rows]));
      args.o = b.o.data() + head * q_floats;
      args.lse = b.lse.data() + head * rows * c.block.q;
      variant.run(args);
    }
  };
  return MeasureCalls(settings, run);
}

/// Gathers blocks of one head after another from the home layout [token][heads][head_dim].
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
  std::size_t turn = 0;
  const auto run = [&] {
    const std::size_t i = turn++ % copies;
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
  std::size_t turn = 0;
  const auto run = [&] {
    const std::size_t i = turn++ % copies;
    kernels::MergePartial(
        c.amount, c.head_dim, o[i].data(), lse[i].data(), part_o[i].data(), part_lse.data());
  };
  return MeasureCalls(settings, run);
}

/// Rank 0 measures; the others repeat the exchange until rank 0 says that it is done.
Measurement RunExchange(const ExchangeConfig& c, const RunSettings& settings) {
  const int size = RanksTakingPart(c, settings.ranks);
  if (c.transport == "nccl") {
    if (!settings.nccl) Fail(ErrorCode::kUnavailable, "exchanges over NCCL take --device cuda");
    return MeasureNccl(c, size, *settings.nccl, settings.limits, settings.interrupted);
  }
  Measurement result;
  std::atomic<bool> done{false};
  std::vector<std::int64_t> begin(static_cast<std::size_t>(size));
  std::vector<std::int64_t> end(static_cast<std::size_t>(size));
  runtime::RunRanks(size, [&](runtime::Communicator& communicator) {
    const auto rank = static_cast<std::size_t>(communicator.rank());
    const ExchangeRank mine(c, communicator.rank(), size);
    const std::vector<float> send(static_cast<std::size_t>(mine.send_floats()), 1.0F);
    std::vector<float> recv(static_cast<std::size_t>(mine.recv_floats()));
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
  Measurement operator()(const LocalConfig& c) const {
    if (settings.bench) return settings.bench->Measure(c, settings.limits, settings.interrupted);
    return c.op == "pack" ? RunPack(c, settings) : RunMerge(c, settings);
  }
};

}  // namespace

std::string MethodOf(const TrialConfig& config,
                     int ranks,
                     const NcclWorld* nccl,
                     const DeviceBench* bench) {
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
