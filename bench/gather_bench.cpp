// SPDX-License-Identifier: Apache-2.0
// Gather attention against dense attention of the same CPU kernel: rates per kept (query, key)
// pair. Both are timed in turns and each is taken at its best turn, because machines are shared and
// noisy. The time is that of the thread on its core.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <ctime>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/attention.h"

namespace dbsp::kernels {
namespace {

constexpr int kDim = 128;
constexpr int kKeys = 8192;
constexpr int kQueries = 512;

double ThreadSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double SecondsOf(const AttentionVariant& kernel, const AttentionArgs& args) {
  const double begin = ThreadSeconds();
  kernel.run(args);
  return ThreadSeconds() - begin;
}

std::vector<float> Random(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

/// Lists of every query block, as the kernels take them.
struct Lists {
  std::vector<int> list;
  std::vector<std::int64_t> begin{0};
};

/// `share` of the keys, in runs of `run` keys at random places with at least one key between two
/// runs where run > 1.
Lists RandomKeys(int rows, double share, int run) {
  std::mt19937 random(11);
  const int runs = static_cast<int>(std::lround(share * kKeys / run));
  const int apart = run > 1 ? 1 : 0;
  const int places = kKeys - runs * (run + apart) + runs;
  std::vector<int> order(static_cast<std::size_t>(places));
  std::iota(order.begin(), order.end(), 0);
  Lists lists;
  for (int i = 0; i < rows; ++i) {
    std::shuffle(order.begin(), order.end(), random);
    std::vector<int> kept(order.begin(), order.begin() + runs);
    std::sort(kept.begin(), kept.end());
    for (int n = 0; n < runs; ++n) {
      const int first = kept[static_cast<std::size_t>(n)] + n * (run + apart - 1);
      for (int j = 0; j < run; ++j) lists.list.push_back(first + j);
    }
    lists.begin.push_back(static_cast<std::int64_t>(lists.list.size()));
  }
  return lists;
}

Lists AllBlocks(int rows, int blocks) {
  Lists lists;
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < blocks; ++j) lists.list.push_back(j);
    lists.begin.push_back(static_cast<std::int64_t>(lists.list.size()));
  }
  return lists;
}

struct Tensors {
  std::vector<float> q = Random(std::size_t{kQueries} * kDim, 3);
  std::vector<float> k = Random(std::size_t{kKeys} * kDim, 4);
  std::vector<float> v = Random(std::size_t{kKeys} * kDim, 5);
  std::vector<float> o = std::vector<float>(q.size());
  std::vector<float> lse = std::vector<float>(kQueries);
};

struct Call {
  Call(Tensors& tensors, BlockSize block, Lists made)
      : lists(std::move(made)),
        q_tokens(static_cast<std::size_t>(kQueries / block.q), block.q),
        k_tokens(static_cast<std::size_t>(kKeys / block.k), block.k) {
    args.head_dim = kDim;
    args.block = block;
    args.scale = 1.0F / std::sqrt(static_cast<float>(kDim));
    args.q_blocks = kQueries / block.q;
    args.k_blocks = kKeys / block.k;
    args.q = tensors.q.data();
    args.k = tensors.k.data();
    args.v = tensors.v.data();
    args.q_tokens = q_tokens;
    args.k_tokens = k_tokens;
    args.list_begin = lists.begin;
    args.list = lists.list;
    args.o = tensors.o.data();
    args.lse = tensors.lse.data();
    pairs = static_cast<double>(lists.list.size()) * block.q * block.k;
  }
  AttentionArgs args;
  Lists lists;
  std::vector<int> q_tokens, k_tokens;
  double pairs = 0;
};

/// Counters: gflops and dense_gflops of the best turns, of_dense their ratio, and runs_mean, the
/// mean number of keys of a run.
void BM_Gather(benchmark::State& state) {
  const auto m = static_cast<int>(state.range(0));
  const double share = static_cast<double>(state.range(1)) / 100.0;
  const auto run = static_cast<int>(state.range(2));
  Tensors tensors;
  Call dense(tensors, {m, m}, AllBlocks(kQueries / m, kKeys / m));
  Call gather(tensors, {m, 1}, RandomKeys(kQueries / m, share, run));
  const AttentionVariant& dense_kernel = FindCpuAttention("cpu.block_sparse");
  const AttentionVariant& gather_kernel = FindCpuAttention("cpu.gather");
  double best_dense = std::numeric_limits<double>::infinity();
  double best_gather = best_dense;
  for (auto _ : state) {
    best_dense = std::min(best_dense, SecondsOf(dense_kernel, dense.args));
    const double seconds = SecondsOf(gather_kernel, gather.args);
    best_gather = std::min(best_gather, seconds);
    state.SetIterationTime(seconds);
  }
  const double flops = 4.0 * kDim;
  state.counters["gflops"] = flops * gather.pairs / best_gather * 1e-9;
  state.counters["dense_gflops"] = flops * dense.pairs / best_dense * 1e-9;
  state.counters["of_dense"] = gather.pairs / best_gather / (dense.pairs / best_dense);
  const auto& list = gather.lists.list;
  std::int64_t runs = list.empty() ? 0 : 1;
  for (std::size_t i = 1; i < list.size(); ++i) runs += list[i] != list[i - 1] + 1;
  state.counters["runs_mean"] = static_cast<double>(list.size()) / static_cast<double>(runs);
}
BENCHMARK(BM_Gather)
    ->ArgNames({"M", "percent", "run"})
    ->ArgsProduct({{64, 128}, {10, 30, 60}, {1, 8}})
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond)
    ->Iterations(40);

}  // namespace
}  // namespace dbsp::kernels

BENCHMARK_MAIN();
