// SPDX-License-Identifier: Apache-2.0
// Block-sparse attention and gather attention for one instruction set. block_sparse.cpp includes it
// once per Highway target.
//
// A vector holds one value for each of several queries. A panel is 1 to 3 vectors of queries. Q is
// packed transposed once per query block, so that K and V are read in their memory order, one
// broadcast float at a time:
//   S^T[key][q]  = sum over c  of K[key][c] * Q^T[c][q]      4 keys x 3 vectors in registers
//   O^T[c][q]   += sum over key of V[key][c] * P^T[key][q]   4 channels x 3 vectors in registers
// Both products need 7 loads for 12 fused multiply-adds. Maxima and sums over keys are vector
// operations without shuffles. A chunk is up to 128 keys of one or several runs of successive keys:
// a listed block is one run, and a list of keys is cut into its runs. The S^T of a chunk stays in
// the L1 cache between the two products; its K and V stay in the L2 cache while all panels of the
// query block use them. V of short runs is packed (Chunk).
#if defined(DBSP_KERNELS_BLOCK_SPARSE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef DBSP_KERNELS_BLOCK_SPARSE_INL_H_
#undef DBSP_KERNELS_BLOCK_SPARSE_INL_H_
#else
#define DBSP_KERNELS_BLOCK_SPARSE_INL_H_
#endif

#include <hwy/aligned_allocator.h>
#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <new>
#include <span>
#include <vector>

#include "kernels/attention.h"

HWY_BEFORE_NAMESPACE();
namespace dbsp::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

constexpr int kChunkKeys = kCpuStepKeys;
constexpr int kTile = 4;  ///< keys (or channels) per register tile
constexpr int kMaxVectors = 3;  ///< of queries per panel
/// V of shorter runs is packed: head_dim floats are copied per key, once per query block.
constexpr int kPackBelow = 16;
constexpr int kFloatsPerLine = 16;  ///< of a cache line
constexpr float kLog2E = 1.44269504088896340736F;
/// Coefficients of 2^x on [-1/2, 1/2], 1 + C1 x + ... + C6 x^6: interpolation of (2^x - 1) / x at
/// the Chebyshev nodes, rounded to float; relative error below 9.6e-09.
constexpr float kExp2C1 = 6.931471825e-01F;
constexpr float kExp2C2 = 2.402265072e-01F;
constexpr float kExp2C3 = 5.550356954e-02F;
constexpr float kExp2C4 = 9.618083015e-03F;
constexpr float kExp2C5 = 1.339086331e-03F;
constexpr float kExp2C6 = 1.545316336e-04F;
constexpr double kLn2 = 0.69314718055994530942;

inline int LaneCount() { return static_cast<int>(hn::Lanes(D())); }

/// NV vectors of one row of a panel. Named members, because arrays of vectors end up on the stack.
template <int NV>
struct Row {
  V a, b, c;

  static Row Fill(float value) {
    const V v = hn::Set(D(), value);
    return {v, v, v};
  }
  static Row Load(const float* from) {
    Row row{hn::Load(D(), from), hn::Zero(D()), hn::Zero(D())};
    if constexpr (NV > 1) row.b = hn::Load(D(), from + hn::Lanes(D()));
    if constexpr (NV > 2) row.c = hn::Load(D(), from + 2 * hn::Lanes(D()));
    return row;
  }
  void Store(float* to) const {
    hn::Store(a, D(), to);
    if constexpr (NV > 1) hn::Store(b, D(), to + hn::Lanes(D()));
    if constexpr (NV > 2) hn::Store(c, D(), to + 2 * hn::Lanes(D()));
  }
  /// this += x * y
  void MulAdd(V x, const Row& y) {
    a = hn::MulAdd(x, y.a, a);
    if constexpr (NV > 1) b = hn::MulAdd(x, y.b, b);
    if constexpr (NV > 2) c = hn::MulAdd(x, y.c, c);
  }
  template <typename F>
  static Row Map(const Row& x, const Row& y, F f) {
    Row row{f(x.a, y.a), hn::Zero(D()), hn::Zero(D())};
    if constexpr (NV > 1) row.b = f(x.b, y.b);
    if constexpr (NV > 2) row.c = f(x.c, y.c);
    return row;
  }
  static Row Max(const Row& x, const Row& y) {
    return Map(x, y, [](V p, V q) HWY_ATTR { return hn::Max(p, q); });
  }
  static Row Add(const Row& x, const Row& y) {
    return Map(x, y, [](V p, V q) HWY_ATTR { return hn::Add(p, q); });
  }
  static Row Mul(const Row& x, const Row& y) {
    return Map(x, y, [](V p, V q) HWY_ATTR { return hn::Mul(p, q); });
  }
};

/// 2^x for x <= 0 (and -infinity), 0 below 2^-126. Exactly 1 at 0; the polynomial's error is below
/// one rounding of float.
inline V Exp2NonPositive(V x) {
  const D d;
  const hn::RebindToSigned<D> di;
  x = hn::Max(x, hn::Set(d, -127.0F));
  const V whole = hn::Round(x);
  const V f = hn::Sub(x, whole);
  V y = hn::Set(d, kExp2C6);
  y = hn::MulAdd(y, f, hn::Set(d, kExp2C5));
  y = hn::MulAdd(y, f, hn::Set(d, kExp2C4));
  y = hn::MulAdd(y, f, hn::Set(d, kExp2C3));
  y = hn::MulAdd(y, f, hn::Set(d, kExp2C2));
  y = hn::MulAdd(y, f, hn::Set(d, kExp2C1));
  y = hn::MulAdd(y, f, hn::Set(d, 1.0F));
  // Exponent -127 gives the bits of 0.0.
  const auto exponent = hn::Add(hn::ConvertTo(di, whole), hn::Set(di, 127));
  return hn::Mul(y, hn::BitCast(d, hn::ShiftLeft<23>(exponent)));
}

/// Keys of a chunk whose rows of V follow each other in memory.
struct Segment {
  const float* v;
  int keys;
};

/// Up to kChunkKeys keys. Rows of K are read one after the other and stay where they are. Rows of V
/// are read by columns: packed rows touch fewer pages of memory.
struct Chunk {
  std::array<const float*, kChunkKeys + kTile> k;  ///< [keys] and repetitions of the last one
  std::vector<Segment> v;
  int keys = 0;
};

/// Rows of K and V that a call needs after the present chunk. Rows of a key list follow no pattern
/// that a processor recognises, and reading them would take as long as half of the products. They
/// are prefetched into the second-level cache while the products of the present chunk run.
class NextKeys {
 public:
  /// tiles  score tiles of the present chunk, over all panels
  NextKeys(const AttentionArgs& args, std::span<const int> keys, int tiles)
      : args_(&args), keys_(keys), per_tile_((keys.size() + tiles - 1) / tiles) {}
  /// Prefetches the part of one score tile.
  void Prefetch() {
    const std::size_t count = std::min(per_tile_, keys_.size());
    for (const int key : keys_.first(count)) {
      const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(key) * args_->head_dim;
      for (int c = 0; c < args_->head_dim; c += kFloatsPerLine) {
        __builtin_prefetch(args_->k + at + c, 0, 2);
        __builtin_prefetch(args_->v + at + c, 0, 2);
      }
    }
    keys_ = keys_.subspan(count);
  }

 private:
  const AttentionArgs* args_;
  std::span<const int> keys_;
  std::size_t per_tile_;
};

/// State of one panel: packed Q, accumulated O, running maximum (log2 units) and sum.
struct Panel {
  int first_row = 0;
  int vectors = 0;
  float* q = nullptr;  ///< [head_dim][width]
  float* o = nullptr;  ///< [head_dim][width]
  float* max = nullptr;  ///< [width]
  float* sum = nullptr;  ///< [width]
};

/// S^T of kTile keys. Rows past the end of a chunk repeat its last key, and nothing reads them.
template <int NV>
inline void ScoreTile(const float* HWY_RESTRICT k0,
                      const float* HWY_RESTRICT k1,
                      const float* HWY_RESTRICT k2,
                      const float* HWY_RESTRICT k3,
                      const float* HWY_RESTRICT q,
                      int head_dim,
                      float scale_log2,
                      float* HWY_RESTRICT scores,
                      Row<NV>& max) {
  using R = Row<NV>;
  const D d;
  const int width = NV * LaneCount();
  R r0 = R::Fill(0.0F), r1 = r0, r2 = r0, r3 = r0;
  for (int c = 0; c < head_dim; ++c, q += width) {
    const R row = R::Load(q);
    r0.MulAdd(hn::Set(d, k0[c]), row);
    r1.MulAdd(hn::Set(d, k1[c]), row);
    r2.MulAdd(hn::Set(d, k2[c]), row);
    r3.MulAdd(hn::Set(d, k3[c]), row);
  }
  const R scale = R::Fill(scale_log2);
  r0 = R::Mul(r0, scale);
  r1 = R::Mul(r1, scale);
  r2 = R::Mul(r2, scale);
  r3 = R::Mul(r3, scale);
  max = R::Max(max, R::Max(R::Max(r0, r1), R::Max(r2, r3)));
  r0.Store(scores);
  r1.Store(scores + width);
  r2.Store(scores + 2 * width);
  r3.Store(scores + 3 * width);
}

template <int NV>
inline Row<NV> Scores(const Chunk& chunk,
                      const Panel& panel,
                      int head_dim,
                      float scale_log2,
                      NextKeys& next,
                      float* scores) {
  const int width = NV * LaneCount();
  Row<NV> max = Row<NV>::Load(panel.max);
  for (int j = 0; j < chunk.keys; j += kTile) {
    const float* const* k = chunk.k.data() + j;
    ScoreTile<NV>(k[0], k[1], k[2], k[3], panel.q, head_dim, scale_log2, scores + j * width, max);
    next.Prefetch();
  }
  return max;
}

/// Replaces scores by weights 2^(s - max) and updates the panel's maximum and sum.
/// returns  the factor that rescales earlier sums and outputs to the new maximum
template <int NV>
inline Row<NV> Weights(int keys, const Row<NV>& max, const Panel& panel, float* scores) {
  using R = Row<NV>;
  const int width = NV * LaneCount();
  const auto difference = [](V x, V shift) HWY_ATTR { return Exp2NonPositive(hn::Sub(x, shift)); };
  // The maximum of a row without a finite score is -infinity. A shift of 0 then gives weights of 0.
  const R shift = R::Map(max, max, [](V m, V) HWY_ATTR {
    return hn::IfThenZeroElse(hn::Eq(m, hn::Set(D(), -std::numeric_limits<float>::infinity())), m);
  });
  const R factor = R::Map(R::Load(panel.max), shift, difference);
  R sum = R::Fill(0.0F);
  for (int j = 0; j < keys; ++j) {
    const R weight = R::Map(R::Load(scores + j * width), shift, difference);
    weight.Store(scores + j * width);
    sum = R::Add(sum, weight);
  }
  max.Store(panel.max);
  R::Add(R::Mul(R::Load(panel.sum), factor), sum).Store(panel.sum);
  return factor;
}

template <int NV>
inline void AddValues(const std::vector<Segment>& segments,
                      const float* weights,
                      const Row<NV>& factor,
                      int head_dim,
                      const Panel& panel) {
  using R = Row<NV>;
  const D d;
  const int width = NV * LaneCount();
  for (int c = 0; c < head_dim; c += kTile) {
    R r0 = R::Fill(0.0F), r1 = r0, r2 = r0, r3 = r0;
    const float* HWY_RESTRICT p = weights;
    for (const Segment& segment : segments) {
      const float* HWY_RESTRICT v = segment.v + c;
      for (int j = 0; j < segment.keys; ++j, v += head_dim, p += width) {
        const R row = R::Load(p);
        r0.MulAdd(hn::Set(d, v[0]), row);
        r1.MulAdd(hn::Set(d, v[1]), row);
        r2.MulAdd(hn::Set(d, v[2]), row);
        r3.MulAdd(hn::Set(d, v[3]), row);
      }
    }
    float* o = panel.o + static_cast<std::ptrdiff_t>(c) * width;
    R::Add(R::Mul(R::Load(o), factor), r0).Store(o);
    R::Add(R::Mul(R::Load(o + width), factor), r1).Store(o + width);
    R::Add(R::Mul(R::Load(o + 2 * width), factor), r2).Store(o + 2 * width);
    R::Add(R::Mul(R::Load(o + 3 * width), factor), r3).Store(o + 3 * width);
  }
}

template <int NV>
inline void AddChunk(const Chunk& chunk,
                     const AttentionArgs& args,
                     const Panel& panel,
                     NextKeys& next,
                     float* scores) {
  const Row<NV> max = Scores<NV>(chunk, panel, args.head_dim, args.scale * kLog2E, next, scores);
  const Row<NV> factor = Weights<NV>(chunk.keys, max, panel, scores);
  AddValues<NV>(chunk.v, scores, factor, args.head_dim, panel);
}

/// Highway returns null where memory runs out.
inline hwy::AlignedFreeUniquePtr<float[]> AlignedFloats(std::size_t count) {
  auto floats = hwy::AllocateAligned<float>(count);
  if (floats == nullptr) throw std::bad_alloc();
  return floats;
}

/// Buffers and state of one call.
class Caller {
 public:
  explicit Caller(const AttentionArgs& args)
      : args_(args),
        rows_(RoundUp(args.block.q)),
        packed_q_(AlignedFloats(Floats())),
        packed_o_(AlignedFloats(Floats())),
        max_(AlignedFloats(static_cast<std::size_t>(rows_))),
        sum_(AlignedFloats(static_cast<std::size_t>(rows_))),
        scores_(AlignedFloats((kChunkKeys + kTile) * ScoreWidth())) {
    chunk_.v.reserve(kChunkKeys);
    // The smallest runs of a call are its blocks.
    if (args.block.k < kPackBelow) {
      packed_v_ = AlignedFloats(static_cast<std::size_t>(kChunkKeys) * args.head_dim);
    }
  }

  /// The list has blocks.
  void RunBlocks() {
    for (int i = 0; i < args_.q_blocks; ++i) {
      Begin(i);
      for (std::int64_t at = args_.list_begin[i]; at < args_.list_begin[i + 1]; ++at) {
        const int block = args_.list[at];
        const std::int64_t first = static_cast<std::int64_t>(block) * args_.block.k;
        const int tokens = args_.k_tokens[block];
        Add(first, tokens, args_.block.k < kPackBelow);
      }
      Flush();
      Finish(i);
    }
  }

  /// The list has single keys.
  void RunKeys() {
    for (int i = 0; i < args_.q_blocks; ++i) {
      Begin(i);
      rest_ =
          args_.list.subspan(args_.list_begin[i], args_.list_begin[i + 1] - args_.list_begin[i]);
      while (!rest_.empty()) {
        const int first = rest_.front();
        std::size_t run = 1;
        while (run < rest_.size() && rest_[run] == rest_[run - 1] + 1) ++run;
        rest_ = rest_.subspan(run);
        Add(first, static_cast<int>(run), run < kPackBelow);
      }
      Flush();
      Finish(i);
    }
  }

 private:
  static int RoundUp(int rows) { return (rows + LaneCount() - 1) / LaneCount() * LaneCount(); }
  static std::size_t ScoreWidth() { return static_cast<std::size_t>(kMaxVectors * LaneCount()); }
  [[nodiscard]] std::size_t Floats() const {
    return static_cast<std::size_t>(rows_) * args_.head_dim;
  }

  /// Cuts the block's rows into panels and packs Q; rows past q_tokens become 0.
  void Begin(int block) {
    const int d = args_.head_dim;
    const int tokens = args_.q_tokens[block];
    const float* q = args_.q + static_cast<std::ptrdiff_t>(block) * args_.block.q * d;
    panels_.clear();
    int vectors = RoundUp(tokens) / LaneCount();
    std::fill_n(packed_o_.get(), Floats(), 0.0F);
    std::fill_n(sum_.get(), rows_, 0.0F);
    std::fill_n(max_.get(), rows_, -std::numeric_limits<float>::infinity());
    for (int row = 0; vectors > 0;) {
      Panel panel;
      // Four vectors become 2 + 2: a panel of one vector cannot hide the latency of its
      // multiplications.
      panel.vectors = vectors == 4 ? 2 : std::min(vectors, kMaxVectors);
      panel.first_row = row;
      panel.q = packed_q_.get() + static_cast<std::ptrdiff_t>(row) * d;
      panel.o = packed_o_.get() + static_cast<std::ptrdiff_t>(row) * d;
      panel.max = max_.get() + row;
      panel.sum = sum_.get() + row;
      const int width = panel.vectors * LaneCount();
      for (int t = 0; t < width; ++t) {
        const bool valid = row + t < tokens;
        const float* from = q + static_cast<std::ptrdiff_t>(row + t) * d;
        for (int c = 0; c < d; ++c) panel.q[c * width + t] = valid ? from[c] : 0.0F;
      }
      panels_.push_back(panel);
      row += width;
      vectors -= panel.vectors;
    }
  }

  /// Adds `count` successive keys; pack: V is copied.
  void Add(std::int64_t first, int count, bool pack) {
    const int d = args_.head_dim;
    while (count > 0) {
      const int take = std::min(count, kChunkKeys - chunk_.keys);
      const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(first) * d;
      for (int t = 0; t < take; ++t) {
        chunk_.k[chunk_.keys + t] = args_.k + at + static_cast<std::ptrdiff_t>(t) * d;
      }
      const float* v = args_.v + at;
      if (pack) {
        float* packed = packed_v_.get() + static_cast<std::ptrdiff_t>(chunk_.keys) * d;
        std::copy_n(v, take * d, packed);
        v = packed;
      }
      AddSegment({v, take});
      first += take;
      count -= take;
      if ((chunk_.keys += take) == kChunkKeys) Flush();
    }
  }

  /// Extends the last segment where the new one follows it in memory.
  void AddSegment(const Segment& segment) {
    if (!chunk_.v.empty()) {
      Segment& last = chunk_.v.back();
      if (last.v + static_cast<std::ptrdiff_t>(last.keys) * args_.head_dim == segment.v) {
        last.keys += segment.keys;
        return;
      }
    }
    chunk_.v.push_back(segment);
  }

  void Flush() {
    if (chunk_.keys == 0) return;
    std::fill_n(chunk_.k.begin() + chunk_.keys, kTile, chunk_.k[chunk_.keys - 1]);
    const int tiles = (chunk_.keys + kTile - 1) / kTile * static_cast<int>(panels_.size());
    NextKeys next(args_, rest_.first(std::min<std::size_t>(rest_.size(), kChunkKeys)), tiles);
    for (const Panel& panel : panels_) {
      if (panel.vectors == 3) {
        AddChunk<3>(chunk_, args_, panel, next, scores_.get());
      } else if (panel.vectors == 2) {
        AddChunk<2>(chunk_, args_, panel, next, scores_.get());
      } else {
        AddChunk<1>(chunk_, args_, panel, next, scores_.get());
      }
    }
    chunk_.v.clear();
    chunk_.keys = 0;
  }

  /// Divides by the sums and stores the valid rows.
  void Finish(int block) {
    const int d = args_.head_dim;
    const std::ptrdiff_t base = static_cast<std::ptrdiff_t>(block) * args_.block.q;
    for (const Panel& panel : panels_) {
      const int width = panel.vectors * LaneCount();
      const int rows = std::min(width, args_.q_tokens[block] - panel.first_row);
      for (int t = 0; t < rows; ++t) {
        const float sum = panel.sum[t];
        const float inverse = sum > 0.0F ? 1.0F / sum : 0.0F;
        float* o = args_.o + (base + panel.first_row + t) * d;
        for (int c = 0; c < d; ++c) o[c] = panel.o[c * width + t] * inverse;
        args_.lse[base + panel.first_row + t] =
            sum > 0.0F
                ? static_cast<float>(panel.max[t] * kLn2 + std::log(static_cast<double>(sum)))
                : -std::numeric_limits<float>::infinity();
      }
    }
  }

  const AttentionArgs& args_;
  int rows_;
  hwy::AlignedFreeUniquePtr<float[]> packed_q_;
  hwy::AlignedFreeUniquePtr<float[]> packed_o_;
  hwy::AlignedFreeUniquePtr<float[]> max_;
  hwy::AlignedFreeUniquePtr<float[]> sum_;
  hwy::AlignedFreeUniquePtr<float[]> scores_;
  hwy::AlignedFreeUniquePtr<float[]> packed_v_;  ///< [kChunkKeys][head_dim], short runs only
  std::vector<Panel> panels_;
  Chunk chunk_;
  std::span<const int> rest_;  ///< keys of the row that no chunk has yet; empty with blocks
};

void RunBlockSparse(const AttentionArgs& args) { Caller(args).RunBlocks(); }
void RunGather(const AttentionArgs& args) { Caller(args).RunKeys(); }

}  // namespace HWY_NAMESPACE
}  // namespace dbsp::kernels
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
