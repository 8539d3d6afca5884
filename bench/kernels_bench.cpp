// SPDX-License-Identifier: Apache-2.0
// Attention, merge and copy as shares of what this machine does in the same run: single-threaded
// SGEMM for attention, memcpy for merge and copy. Ratios, because machines are shared and noisy:
// reference and subject are timed in turns and each is taken at its best turn.
#include <benchmark/benchmark.h>

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <ctime>
#include <limits>
#include <random>
#include <vector>

#include "kernels/attention.h"
#include "kernels/memory.h"
#if defined(DBSP_BENCH_OPENBLAS)
#include <cblas.h>
#endif

namespace dbsp::kernels {
namespace {

/// Seconds of this thread on the processor: what other processes take from it does not count.
double ThreadSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

template <typename F>
double SecondsOf(const F& work) {
  const double begin = ThreadSeconds();
  work();
  return ThreadSeconds() - begin;
}

std::vector<float> Random(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

/// One square product of the size where both libraries are at their best, single-threaded.
class Gemm {
 public:
  static constexpr int kSize = 512;
  static constexpr double kFlops = 2.0 * kSize * kSize * kSize;

  Gemm() : a_(Random(kCount, 1)), b_(Random(kCount, 2)), c_(kCount) {
#if defined(DBSP_BENCH_OPENBLAS)
    openblas_set_num_threads(1);
#endif
  }
  double EigenSeconds() {
    using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic>;
    const Eigen::Map<const Matrix> a(a_.data(), kSize, kSize);
    const Eigen::Map<const Matrix> b(b_.data(), kSize, kSize);
    Eigen::Map<Matrix> c(c_.data(), kSize, kSize);
    return SecondsOf([&] {
      c.noalias() = a * b;
      benchmark::ClobberMemory();
    });
  }
  /// Infinity where OpenBLAS was not found at build time.
  double OpenBlasSeconds() {
#if defined(DBSP_BENCH_OPENBLAS)
    return SecondsOf([&] {
      cblas_sgemm(CblasColMajor,
                  CblasNoTrans,
                  CblasNoTrans,
                  kSize,
                  kSize,
                  kSize,
                  1.0F,
                  a_.data(),
                  kSize,
                  b_.data(),
                  kSize,
                  0.0F,
                  c_.data(),
                  kSize);
      benchmark::ClobberMemory();
    });
#else
    return std::numeric_limits<double>::infinity();
#endif
  }

 private:
  static constexpr std::size_t kCount = static_cast<std::size_t>(kSize) * kSize;
  std::vector<float> a_, b_, c_;
};

/// Lists that keep `kept_of_8` of every 8 key blocks, shifted from row to row.
struct Call {
  Call(int tokens, int head_dim, int block, int kept_of_8) {
    const auto blocks = tokens / block;
    q = Random(static_cast<std::size_t>(tokens) * head_dim, 3);
    k = Random(q.size(), 4);
    v = Random(q.size(), 5);
    o.resize(q.size());
    lse.resize(tokens);
    valid.assign(blocks, block);
    begin.push_back(0);
    for (int i = 0; i < blocks; ++i) {
      for (int j = 0; j < blocks; ++j) {
        if ((i + j) % 8 < kept_of_8) list.push_back(j);
      }
      begin.push_back(static_cast<std::int64_t>(list.size()));
    }
    args.head_dim = head_dim;
    args.block = {block, block};
    args.scale = 1.0F / std::sqrt(static_cast<float>(head_dim));
    args.q_blocks = args.k_blocks = blocks;
    args.q = q.data();
    args.k = k.data();
    args.v = v.data();
    args.q_tokens = args.k_tokens = valid;
    args.list_begin = begin;
    args.list = list;
    args.o = o.data();
    args.lse = lse.data();
    flops = 4.0 * head_dim * static_cast<double>(list.size()) * block * block;
  }
  AttentionArgs args;
  std::vector<float> q, k, v, o, lse;
  std::vector<int> valid, list;
  std::vector<std::int64_t> begin;
  double flops = 0.0;
};

/// Counters: gflops of the kernel's best turn, gemm_gflops of the faster library's best turn,
/// of_gemm their ratio, eigen_gflops and openblas_gflops (0 when absent).
void BM_Attention(benchmark::State& state) {
  Call call(static_cast<int>(state.range(0)),
            static_cast<int>(state.range(1)),
            static_cast<int>(state.range(2)),
            static_cast<int>(state.range(3)));
  const AttentionVariant& kernel = FindCpuAttention("cpu.block_sparse");
  Gemm gemm;
  double best = std::numeric_limits<double>::infinity();
  double eigen = best;
  double openblas = best;
  for (auto _ : state) {
    for (int i = 0; i < 3; ++i) {
      eigen = std::min(eigen, gemm.EigenSeconds());
      openblas = std::min(openblas, gemm.OpenBlasSeconds());
    }
    const double seconds = SecondsOf([&] { kernel.run(call.args); });
    best = std::min(best, seconds);
    state.SetIterationTime(seconds);
  }
  const double gemm_rate = Gemm::kFlops / std::min(eigen, openblas);
  state.counters["gflops"] = call.flops / best * 1e-9;
  state.counters["gemm_gflops"] = gemm_rate * 1e-9;
  state.counters["eigen_gflops"] = Gemm::kFlops / eigen * 1e-9;
  state.counters["openblas_gflops"] = Gemm::kFlops / openblas * 1e-9;
  state.counters["of_gemm"] = call.flops / best / gemm_rate;
}
BENCHMARK(BM_Attention)
    ->ArgNames({"tokens", "d", "block", "kept_of_8"})
    ->ArgsProduct({{4096}, {64, 128}, {64, 128}, {8}})
    ->ArgsProduct({{4096}, {64, 128}, {64, 128}, {2}})
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond)
    ->MinTime(1.0);

/// Counters: of_memcpy = bytes per second (read + written) over memcpy's, same footprint.
template <typename F>
void AgainstMemcpy(benchmark::State& state, std::size_t bytes_moved, const F& work) {
  std::vector<float> from = Random(bytes_moved / 2 / sizeof(float), 6);
  std::vector<float> to(from.size());
  double best = std::numeric_limits<double>::infinity();
  double copy = best;
  for (auto _ : state) {
    copy = std::min(copy, SecondsOf([&] {
                      std::memcpy(to.data(), from.data(), from.size() * sizeof(float));
                      benchmark::ClobberMemory();
                    }));
    const double seconds = SecondsOf(work);
    best = std::min(best, seconds);
    state.SetIterationTime(seconds);
  }
  state.counters["gbytes_per_s"] = static_cast<double>(bytes_moved) / best * 1e-9;
  state.counters["memcpy_gbytes_per_s"] = static_cast<double>(bytes_moved) / copy * 1e-9;
  state.counters["of_memcpy"] = copy / best;
}

void BM_MergePartial(benchmark::State& state) {
  const std::int64_t rows = state.range(0);
  const int d = static_cast<int>(state.range(1));
  const auto count = static_cast<std::size_t>(rows * d);
  std::vector<float> o = Random(count, 7), part = Random(count, 8);
  std::vector<float> lse = Random(static_cast<std::size_t>(rows), 9);
  const std::vector<float> part_lse = Random(static_cast<std::size_t>(rows), 10);
  // Reads o and part, writes o; lse is d times smaller.
  AgainstMemcpy(state, 3 * count * sizeof(float), [&] {
    MergePartial(rows, d, o.data(), lse.data(), part.data(), part_lse.data());
    benchmark::ClobberMemory();
  });
}
BENCHMARK(BM_MergePartial)
    ->ArgNames({"rows", "d"})
    ->Args({65536, 128})
    ->Args({131072, 64})
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

void BM_CopyBlocks(benchmark::State& state) {
  const int tokens = static_cast<int>(state.range(0));
  const int heads = static_cast<int>(state.range(1));
  const int d = static_cast<int>(state.range(2));
  constexpr int kBlock = 128;
  const std::size_t count = static_cast<std::size_t>(tokens) * heads * d;
  const std::vector<float> home = Random(count, 11);
  std::vector<float> blocks(count);
  std::vector<CopyItem> items;
  for (int h = 0; h < heads; ++h) {
    for (int t = 0; t < tokens; t += kBlock) {
      items.push_back({static_cast<std::int64_t>(t) * heads * d + h * d,
                       (static_cast<std::int64_t>(h) * tokens + t) * d,
                       kBlock});
    }
  }
  AgainstMemcpy(state, 2 * count * sizeof(float), [&] {
    CopyBlocks(home.data(), static_cast<std::int64_t>(heads) * d, blocks.data(), d, d, items);
    benchmark::ClobberMemory();
  });
}
BENCHMARK(BM_CopyBlocks)
    ->ArgNames({"tokens", "heads", "d"})
    ->Args({8192, 12, 128})
    ->Args({8192, 12, 64})
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace dbsp::kernels

BENCHMARK_MAIN();
