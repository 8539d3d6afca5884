// SPDX-License-Identifier: Apache-2.0
// Compares the planner's own families with db-SP and plain heuristics on measured profiles and
// radial masks, and measures the time of planning. Prints one table: case, today's best, must
// reach, reached.
//
//   planner_vs_dbsp [DATA]     DATA: folder with wan14b_sparge_density and svoo. Rows of absent
//   files say so.
//
// If only the counts of heads are known, the load of a head is spread evenly over 256 rows
// (SpreadLoads). For rows about bytes, masks are made by the rule `density` with pattern band.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <numeric>
#include <random>

#include "bench/reuse_rows.h"
#include "core/arrays/array.h"
#include "core/file.h"
#include "planner/placement/balanced.h"
#include "planner/placement/cell_search.h"
#include "planner/placement/drift.h"
#include "planner/placement/families.h"
#include "planner/placement/head_balance.h"
#include "planner/placement/head_search.h"
#include "planner/placement/placed.h"
#include "planner/placement/traffic_bound.h"
#include "planner/timeline/barrier.h"
#include "planner/timeline/home_ring.h"
#include "planner/timeline/layer_volumes.h"
#include "planner/workload/distinct_masks.h"
#include "planner/workload/mask_counts.h"
#include "planner/workload/mask_flag.h"
#include "planner/workload/mask_source.h"
#include "planner/workload/mask_sum.h"
#include "planner/workload/presets.h"
#include "planner/workload/row_loads.h"
#include "planner/workload/rules/density_table.h"
#include "planner/workload/rules/synthetic.h"

namespace dbsp::planner {
namespace {

constexpr int kRows = 256;
/// Bounds of traffic take a second per layer, so they are computed for every fourth pair.
constexpr std::size_t kBoundEvery = 4;

void Print(const std::string& name,
           const std::string& today,
           const std::string& must,
           const std::string& reached) {
  fmt::print("| {} | {} | {} | {} |\n", name, today, must, reached);
}

/// Counts of heads per (step, layer), ordered by step.
struct Profile {
  int layers = 0;
  int cols = 0;  ///< key blocks; there are kRows query blocks
  std::vector<std::vector<std::int64_t>> counts;
};

Profile Sparge(const std::filesystem::path& path) {
  const Array array = LoadArray(path);
  Profile profile{static_cast<int>(array.shape[1]), 512, {}};
  for (std::int64_t pair = 0; pair < array.shape[0] * array.shape[1]; ++pair) {
    std::vector<std::int64_t> heads;
    for (std::int64_t h = 0; h < array.shape[2]; ++h) {
      heads.push_back(array.Int(pair * array.shape[2] + h));
    }
    profile.counts.push_back(std::move(heads));
  }
  return profile;
}

Profile Svoo(const std::filesystem::path& path, const std::string& preset) {
  ModelShape model = ModelPreset(preset);
  model.grid = {1, 1, kRows * 128};
  model.text_tokens = 0;
  const RuleContext context{model, {128, 128}, {}};
  const DensityCounts counts = DensityFromCsv(ReadFile(path), path.string(), context);
  Profile profile{model.layers, kRows, {}};
  const auto heads = static_cast<std::size_t>(model.heads);
  for (std::size_t i = 0; i < counts.size(); i += heads) {
    const auto begin = counts.begin() + static_cast<std::ptrdiff_t>(i);
    profile.counts.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(heads));
  }
  return profile;
}

std::vector<int> Homes(int blocks, int ranks) {
  std::vector<int> home;
  for (int i = 0; i < blocks; ++i) home.push_back(i * ranks / blocks);
  return home;
}

struct Balance {
  double mean = 0;
  double worst = 0;
  double sums = 0;  ///< sum of heaviest loads over sum of mean loads
};

/// Balance over pairs from `first` on. `loads_of(pair)` gives the load of every rank.
Balance Over(const Profile& profile,
             std::size_t first,
             const std::function<std::vector<std::int64_t>(std::size_t)>& loads_of) {
  Balance out;
  double heaviest = 0;
  double even = 0;
  for (std::size_t pair = first; pair < profile.counts.size(); ++pair) {
    const std::vector<std::int64_t> load = loads_of(pair);
    const auto most = static_cast<double>(*std::ranges::max_element(load));
    const double mean =
        static_cast<double>(std::accumulate(load.begin(), load.end(), std::int64_t{0})) /
        static_cast<double>(load.size());
    out.mean += most / mean / static_cast<double>(profile.counts.size() - first);
    out.worst = std::max(out.worst, most / mean);
    heaviest += most;
    even += mean;
  }
  out.sums = heaviest / even;
  return out;
}

std::vector<std::int64_t> WholeHeads(const std::vector<std::int64_t>& counts,
                                     const std::vector<int>& owner,
                                     int ranks) {
  std::vector<std::int64_t> load(ranks, 0);
  for (std::size_t h = 0; h < counts.size(); ++h) {
    load[owner[h]] += counts[h];
  }
  return load;
}

/// Loads of `real` under the placement planned from `seen`.
std::vector<std::int64_t> Placed(const std::vector<std::int64_t>& seen,
                                 const std::vector<std::int64_t>& real,
                                 int cols,
                                 int ranks) {
  const Partition made =
      PlaceHeads(SpreadLoads(seen, kRows), {}, Homes(kRows, ranks), Homes(cols, ranks), ranks);
  return RankLoads(SpreadLoads(real, kRows), made);
}

Balance PlacedOnStep(const Profile& profile, int ranks) {
  return Over(profile, 0, [&](std::size_t pair) {
    return Placed(profile.counts[pair], profile.counts[pair], profile.cols, ranks);
  });
}

void HeadRows(const Profile& profile) {
  const Balance heads = Over(profile, 0, [&](std::size_t pair) {
    const auto& counts = profile.counts[pair];
    return WholeHeads(counts, SearchHeadOwners(counts, 8), 8);
  });
  Print("SpargeAttn counts U8 on the step, balanced, mean/worst rho",
        "1.025/1.132",
        "1.0045/1.070",
        fmt::format("{:.4f}/{:.3f}", heads.mean, heads.worst));
  const Balance placed = PlacedOnStep(profile, 8);
  Print("same, placed",
        "1.025/1.132",
        "1.002/1.005",
        fmt::format("{:.4f}/{:.4f}", placed.mean, placed.worst));
  const auto layers = static_cast<std::size_t>(profile.layers);
  for (const double gain : {0.0, kDriftGain}) {
    const Balance later = Over(profile, layers, [&](std::size_t pair) {
      const std::vector<std::int64_t> before =
          pair < 2 * layers ? std::vector<std::int64_t>() : profile.counts[pair - 2 * layers];
      return Placed(PredictCounts(profile.counts[pair - layers], before, gain),
                    profile.counts[pair],
                    profile.cols,
                    8);
    });
    Print(fmt::format("same, placed from the step before, drift gain {}", gain),
          "1.024",
          gain > 0 ? "1.020" : "-",
          fmt::format("{:.4f}", later.mean));
  }
}

/// 56 heads: those of one layer and the first 16 of the next.
Profile Wider(const Profile& profile) {
  Profile out{profile.layers, profile.cols, {}};
  for (std::size_t pair = 0; pair + 1 < profile.counts.size(); ++pair) {
    std::vector<std::int64_t> heads = profile.counts[pair];
    const auto& next = profile.counts[pair + 1];
    heads.insert(heads.end(), next.begin(), next.begin() + 16);
    out.counts.push_back(std::move(heads));
  }
  return out;
}

struct Bytes {
  double busiest = 0;
  double total = 0;
};

/// MaxTrafficLowerBound of a layer, in bytes. Ranks compute at most half a percent more than the
/// mean.
double BoundBytes(const AttentionShape& shape, const LayerMasks& masks, const HomeLayout& home) {
  const std::vector<int> rows = HomeRing(shape.q_blocks(), shape.block.q, home, 1);
  const std::vector<int> cols = HomeRing(shape.k_blocks(), shape.block.k, home, 1);
  const std::vector<std::int64_t> counts = HeadCounts(masks);
  const double mean =
      static_cast<double>(std::accumulate(counts.begin(), counts.end(), std::int64_t{0})) /
      home.ranks();
  const double unit_bytes = static_cast<double>(shape.tokens) * shape.head_dim *
                            BytesOf(DType::kBf16) /
                            (static_cast<double>(shape.q_blocks()) * shape.k_blocks());
  return MaxTrafficLowerBound(masks, rows, cols, home.ranks(), 1.005 * mean) * unit_bytes;
}

/// Bytes of placed with needed over ulysses with alltoall, from BuildLayerVolumes: means over every
/// `stride`-th pair of all ranks' bytes and of the busiest rank's, and the worst of the latter;
/// also the lower bound for some pairs (kBoundEvery).
void TrafficRow(const std::string& name, const Profile& profile, int ranks, std::size_t stride) {
  const int heads = static_cast<int>(profile.counts.front().size());
  const AttentionShape shape{heads, 128, kRows * 128, {128, kRows * 128 / profile.cols}};
  const HomeLayout home = MakeHomeLayout(shape, ranks);
  double busiest = 0;
  double total = 0;
  double worst = 0;
  double bounds = 0;
  double bounded = 0;
  double bound_pairs = 0;
  double pairs = 0;
  for (std::size_t pair = 0; pair < profile.counts.size(); pair += stride) {
    const LayerMasks masks = SyntheticLayer(
        kRows, profile.cols, profile.counts[pair], Pattern::kBand, 0, static_cast<int>(pair), 0);
    const auto bytes = [&](Family family) {
      Strategy strategy;
      strategy.family = family;
      strategy.ulysses_degree = ranks;
      strategy.exchange = ExchangeOf(family, 1);
      PartitionOptions options;
      options.placed_scans = PlacedOptions().traffic_scans;
      const LayerVolumes work =
          BuildLayerVolumes(shape,
                            masks,
                            MakePartition(family, shape, masks, ranks, ranks, 1, home, options),
                            strategy,
                            home,
                            DType::kBf16);
      return Bytes{static_cast<double>(work.MaxBytesOneWay()),
                   static_cast<double>(work.TotalBytesSent())};
    };
    const Bytes placed = bytes(Family::kPlaced);
    const Bytes ulysses = bytes(Family::kUlysses);
    busiest += placed.busiest / ulysses.busiest;
    total += placed.total / ulysses.total;
    worst = std::max(worst, placed.busiest / ulysses.busiest);
    if (pair / stride % kBoundEvery == 0) {
      bounds += BoundBytes(shape, masks, home) / ulysses.busiest;
      bounded += placed.busiest / ulysses.busiest;
      bound_pairs += 1;
    }
    pairs += 1;
  }
  Print(fmt::format("bytes of placed / ulysses, {}: all ranks, busiest, worst busiest", name),
        "1.0",
        "<= 1.15, mean <= 1.05",
        fmt::format("{:.3f}, {:.3f}, {:.3f}", total / pairs, busiest / pairs, worst));
  Print("same, every fourth of these: busiest, its lower bound",
        "1.0",
        "-",
        fmt::format("{:.3f}, {:.3f}", bounded / bound_pairs, bounds / bound_pairs));
}

/// Processor time in milliseconds, the least of seven runs. Other programs only make a run longer,
/// through shared caches.
double Milliseconds(const std::function<void()>& run) {
  double least = 0;
  for (int n = 0; n < 7; ++n) {
    const std::clock_t start = std::clock();
    run();
    const double took = static_cast<double>(std::clock() - start) * 1e3 / CLOCKS_PER_SEC;
    least = n == 0 ? took : std::min(least, took);
  }
  return least;
}

void RadialRows() {
  struct Case {
    const char* preset;
    const char* today;
  };
  for (const Case& c : {Case{"wan2.1-t2v-14b-480p", "1.004/1.016/1.045"},
                        Case{"wan2.1-t2v-14b-720p", "1.001/1.007/1.023"},
                        Case{"wan2.1-t2v-14b-768p-69f", "-"},
                        Case{"hunyuanvideo-768p-117f", "1.000/1.005/1.009"}}) {
    Workload workload;
    workload.model = ModelPreset(c.preset);
    ApplyMaskFlag("radial", workload);
    LayerMasks masks;
    masks.head.assign(8, OpenMasks(workload)->At(workload.model.steps - 1, 1).head[0]);
    const AttentionShape shape{8, 128, workload.model.tokens(), {128, 128}};
    std::string reached;
    for (const int ring : {2, 4, 8}) {
      Partition made;
      const HomeLayout home = MakeHomeLayout(shape, 8);
      const double ms =
          Milliseconds([&] { made = MakeBalanced(shape, masks, 8 / ring, ring, home); });
      reached +=
          fmt::format("{}{:.4f} ({:.1f} ms)", ring == 2 ? "" : ", ", BarrierRho(masks, made), ms);
    }
    Print(fmt::format("radial {}, balanced U4R2, U2R4, U1R8", c.preset),
          c.today,
          "1.005 each",
          reached);
  }
}

/// Sliding tiles have equal rows: the reached ratio and the lower bound of whole rows.
void SlidingTileRow() {
  Workload workload;
  workload.model = ModelPreset("wan2.1-t2v-14b-768p-69f");
  ApplyMaskFlag("sta:window=3x3x5", workload);
  LayerMasks masks;
  masks.head.assign(8, OpenMasks(workload)->At(workload.model.steps - 1, 1).head[0]);
  const AttentionShape shape{8, 128, workload.model.tokens(), workload.block};
  const HomeLayout home = MakeHomeLayout(shape, 8);
  std::string reached;
  for (const int ring : {2, 4, 8}) {
    const Partition made = MakeBalanced(shape, masks, 8 / ring, ring, home);
    LayerMasks group;
    group.head.assign(ring, masks.head[0]);
    const std::vector<std::int64_t> rows = LayerCounts(group).RowSums(group);
    const auto kept = std::accumulate(rows.begin(), rows.end(), std::int64_t{0});
    reached += fmt::format(
        "{}{:.4f} of {:.4f}",
        ring == 2 ? "" : ", ",
        BarrierRho(masks, made),
        static_cast<double>(MaxLoadLowerBound(rows, ring) * ring) / static_cast<double>(kept));
  }
  Print("sliding tiles 3x3x5, wan2.1-t2v-14b-768p-69f, balanced U4R2, U2R4, U1R8, of the least",
        "-",
        "1.005 each",
        reached);
}

/// Rate at which one core reads and adds words, in GB/s.
double StreamRate() {
  const std::vector<std::uint64_t> words(std::size_t{1} << 25, 1);
  volatile std::uint64_t sink = 0;
  const double ms = Milliseconds([&] {
    std::uint64_t sums[4] = {0, 0, 0, 0};
    for (std::size_t i = 0; i < words.size(); i += 4) {
      for (std::size_t k = 0; k < 4; ++k) sums[k] += words[i + k];
    }
    sink = sums[0] + sums[1] + sums[2] + sums[3];
  });
  return static_cast<double>(words.size() * 8) / ms * 1e-6;
}

/// 64 bits, each set with probability digits / 64.
std::uint64_t RandomWord(std::mt19937_64& random, unsigned digits) {
  std::uint64_t word = 0;
  for (unsigned d = 0; d < 6; ++d) {
    word = (digits >> d) % 2 != 0 ? word | random() : word & random();
  }
  return word;
}

void PlacedTimeRows(const AttentionShape& shape, const LayerMasks& masks, const RowLoads& loads) {
  const HomeLayout home = MakeHomeLayout(shape, 8);
  std::vector<int> rows;
  for (int i = 0; i < shape.q_blocks(); ++i) {
    rows.push_back(home.RankOf(static_cast<std::int64_t>(i) * shape.block.q));
  }
  for (const bool search : {false, true}) {
    PlacedOptions options;
    if (!search) options.traffic_scans = 0;
    Partition made;
    const double ms =
        Milliseconds([&] { made = PlaceHeads(loads, masks, rows, rows, home.ranks(), options); });
    Print(search ? "same with the search for less traffic" : "placed by rows, after the counts",
          "464-2128 ms",
          search ? "-" : "0.3 ms",
          fmt::format("{:.3f} ms, rho {:.4f}", ms, BarrierRho(masks, made)));
  }
}

/// The passes over the masks that every search on cells needs: the sum of each group's masks, and
/// the weights of its rows and columns at home.
void GroupPasses(const AttentionShape& shape,
                 const LayerMasks& masks,
                 const Partition& made,
                 const HomeLayout& home) {
  for (const HeadGroup& group : made.groups) {
    const int ring = static_cast<int>(group.ranks.size());
    if (ring == 1) continue;
    LayerMasks own;
    for (const int head : group.heads) own.head.push_back(masks.head[head]);
    const MaskSum sum(DistinctMasks(own));
    const int ulysses = made.ranks / ring;
    (void)sum.RowParts(HomeRing(shape.k_blocks(), shape.block.k, home, ulysses), ring);
    (void)sum.ColumnParts(HomeRing(shape.q_blocks(), shape.block.q, home, ulysses), ring);
  }
}

void TimeRows() {
  const AttentionShape shape{40, 128, 75600, {64, 64}};
  const HomeLayout home = MakeHomeLayout(shape, 8);
  std::mt19937_64 random(1);
  LayerMasks masks;
  double bytes = 0;
  for (int h = 0; h < shape.heads; ++h) {
    auto mask = std::make_shared<BlockMask>(shape.q_blocks(), shape.k_blocks());
    const auto density = static_cast<unsigned>(8 + random() % 24);  // 1/8 to 1/2
    for (int i = 0; i < mask->rows(); ++i) {
      for (auto& word : mask->mutable_row(i)) word = RandomWord(random, density);
      mask->mutable_row(i).back() &= (1ULL << (mask->cols() % 64)) - 1;
    }
    bytes += static_cast<double>(mask->words().size_bytes());
    masks.head.push_back(std::move(mask));
  }
  RowLoads loads;
  const double count_ms = Milliseconds([&] { loads = RowLoadsOf(masks); });
  Print("counts from bits, 40 x 1182 x 1182",
        "-",
        "6 ms",
        fmt::format("{:.2f} ms, {:.1f} GB/s; this core streams {:.1f} GB/s",
                    count_ms,
                    bytes / count_ms * 1e-6,
                    StreamRate()));
  PlacedTimeRows(shape, masks, loads);
  Partition made;
  for (const int ring : {1, 2, 4, 8}) {
    const double ms =
        Milliseconds([&] { made = MakeBalanced(shape, masks, 8 / ring, ring, home); });
    const double passes = Milliseconds([&] { GroupPasses(shape, masks, made, home); });
    Print(fmt::format("balanced U{}R{}: all; its passes over the masks", 8 / ring, ring),
          "464-2128 ms",
          "3 ms after counts of 6 ms",
          fmt::format("{:.2f} ms; {:.2f} ms; rho {:.4f}", ms, passes, BarrierRho(masks, made)));
  }
}

void Run(const std::filesystem::path& data) {
  const auto with = [&](const char* name, const std::function<void(std::filesystem::path)>& rows) {
    if (std::filesystem::exists(data / name)) {
      rows(data / name);
    } else {
      Print(name, "-", "-", "not here");
    }
  };
  Print("case", "today's best", "must reach", "reached");
  Print("---", "---", "---", "---");
  with("wan14b_sparge_density/head_density_30x40x40.npy", [](const auto& path) {
    const Profile profile = Sparge(path);
    HeadRows(profile);
    ReuseRows(profile.counts, profile.layers, kRows, profile.cols, Print);
    TrafficRow("SpargeAttn counts, 8 ranks", profile, 8, 97);
    const Profile wider = Wider(profile);
    TrafficRow("56 heads of SpargeAttn counts, 16 ranks", wider, 16, 97);
    const Balance wide = PlacedOnStep(wider, 16);
    Print("56 heads of SpargeAttn counts on 16 ranks, placed, mean/worst",
          "refused",
          "1.01",
          fmt::format("{:.4f}/{:.4f}", wide.mean, wide.worst));
  });
  const auto svoo = [](const std::string& name,
                       const std::string& preset,
                       int ranks,
                       const std::string& today,
                       const std::string& must) {
    return [=](const std::filesystem::path& path) {
      const Profile profile = Svoo(path, preset);
      const Balance placed = PlacedOnStep(profile, ranks);
      Print(fmt::format("SVOO {} on {} ranks, placed, sum max / sum mean", name, ranks),
            today,
            must,
            fmt::format("{:.4f} (worst pair {:.4f})", placed.sums, placed.worst));
      TrafficRow(fmt::format("SVOO {}, {} ranks", name, ranks), profile, ranks, 97);
    };
  };
  const char* hunyuan = "svoo/sparsity_hunyuan10_13B_t2v.csv";
  with("svoo/sparsity_wan_14B_t2v.csv",
       svoo("Wan 14B", "wan2.1-t2v-14b-480p", 8, "1.026", "1.003"));
  with(hunyuan, svoo("Hunyuan", "hunyuanvideo-720p-129f", 8, "1.269", "1.005"));
  with(hunyuan, svoo("Hunyuan", "hunyuanvideo-720p-129f", 5, "refused", "1.01"));
  with("svoo/sparsity_wan_1.3B_t2v.csv",
       svoo("Wan 1.3B", "wan2.1-t2v-1.3b-480p", 8, "refused", "1.01"));
  RadialRows();
  SlidingTileRow();
  TimeRows();
}

}  // namespace
}  // namespace dbsp::planner

int main(int argc, char** argv) {
  try {
    const char* folder = std::getenv("DBSP_SHARED_DATA");
    dbsp::planner::Run(argc > 1 ? argv[1] : folder != nullptr ? folder : "../shared/data");
  } catch (const std::exception& error) {
    fmt::print(stderr, "planner_vs_dbsp: {}\n", error.what());
    return 1;
  }
  return 0;
}
