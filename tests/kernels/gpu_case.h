// SPDX-License-Identifier: Apache-2.0
// Random AttentionCalls over host memory for the emulator, and fp64 attention to compare with.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/gpu/attention.h"
#include "kernels/gpu/check_call.h"
#include "kernels/gpu/isa/isa.h"
#include "kernels/gpu/tile_order.h"

namespace dbsp::kernels::gpu::testing {

/// gtest's list of `Rest`: a list made by a macro begins with a comma.
template <class, class... Rest>
using TypesAfter = ::testing::Types<Rest...>;

inline float FromBf16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U);
}
inline std::uint16_t ToBf16(float value) {
  return static_cast<std::uint16_t>(isa::PackBf16(value, 0.0F) & 0xFFFFU);
}

enum class Memory { kHeadsFirst, kTokensFirst, kPadded };

struct CaseOptions {
  int batch = 1;
  int heads = 2;
  int q_tokens = 300;
  int k_tokens = 500;
  double density = 0.5;
  double empty = 0.15;  ///< share of query blocks whose list is emptied
  Memory memory = Memory::kHeadsFirst;
  float spread = 1.0F;  ///< standard deviation of q and k
};

/// bf16 [batch][heads][tokens][head_dim] in one of the memory orders. Elements between rows are
/// NaN.
class Tensor {
 public:
  static constexpr std::uint16_t kPoison = 0x7FA5;  ///< a NaN that no arithmetic makes

  Tensor(const CaseOptions& options, int tokens, int head_dim)
      : batch_(options.batch), heads_(options.heads), tokens_(tokens), head_dim_(head_dim) {
    const std::int64_t d = head_dim;
    if (options.memory == Memory::kTokensFirst) {
      view_ = {nullptr, tokens * heads_ * d, d, heads_ * d};
    } else {
      const std::int64_t pad = options.memory == Memory::kPadded ? 8 : 0;
      view_.token_stride = d + pad;
      view_.head_stride = tokens * view_.token_stride + 2 * pad;
      view_.batch_stride = heads_ * view_.head_stride + 3 * pad;
    }
    const std::int64_t last = Offset(batch_ - 1, heads_ - 1, tokens - 1) + d;
    memory_.resize(last / 8);
    view_.data = memory_.data();
    Poison();
  }

  void Poison() { std::fill_n(Data(), memory_.size() * 8, kPoison); }
  void Fill(std::mt19937_64& random, float spread) {
    std::normal_distribution<float> normal(0.0F, spread);
    ForEach([&](std::uint16_t& x) { x = ToBf16(normal(random)); });
  }
  template <typename F>
  void ForEach(F f) {
    for (int b = 0; b < batch_; ++b) {
      for (int h = 0; h < heads_; ++h) {
        for (int t = 0; t < tokens_; ++t) std::for_each_n(Row(b, h, t), head_dim_, f);
      }
    }
  }
  std::uint16_t* Row(int b, int h, int t) { return Data() + Offset(b, h, t); }
  float At(int b, int h, int t, int c) { return FromBf16(Row(b, h, t)[c]); }
  /// True when only rows were written.
  bool GapsArePoison() const {
    Tensor copy = *this;
    copy.ForEach([](std::uint16_t& x) { x = kPoison; });
    return std::all_of(copy.Data(), copy.Data() + memory_.size() * 8, [](std::uint16_t x) {
      return x == kPoison;
    });
  }
  TensorView View() {
    view_.data = memory_.data();
    return view_;
  }
  isa::GlobalRegion Region(const char* name, bool writable) {
    return {name, memory_.data(), static_cast<std::int64_t>(memory_.size() * 16), writable};
  }
  bool operator==(const Tensor& other) const {
    return std::memcmp(memory_.data(), other.memory_.data(), memory_.size() * 16) == 0;
  }

 private:
  std::int64_t Offset(int b, int h, int t) const {
    return b * view_.batch_stride + h * view_.head_stride + t * view_.token_stride;
  }
  std::uint16_t* Data() { return reinterpret_cast<std::uint16_t*>(memory_.data()); }

  int batch_, heads_, tokens_, head_dim_;
  TensorView view_;
  std::vector<isa::Vector16> memory_;
};

/// Errors of a result relative to the reference.
struct Deviation {
  double o = 0.0;  ///< relative Frobenius norm over rows whose reference is finite
  double lse = 0.0;  ///< largest |difference| / max(1, |LSE|)
};

/// Lists of key blocks at the variant's block sizes, tensors, and the call over them.
class GpuCase {
 public:
  GpuCase(const Variant& variant, const CaseOptions& options, std::uint64_t seed)
      : variant_(variant),
        options_(options),
        q_(options, options.q_tokens, variant.head_dim),
        k_(options, options.k_tokens, variant.head_dim),
        v_(options, options.k_tokens, variant.head_dim),
        o_(options, options.q_tokens, variant.head_dim),
        lse_(static_cast<std::size_t>(options.batch) * options.heads * options.q_tokens) {
    std::mt19937_64 random(seed);
    q_.Fill(random, options.spread);
    k_.Fill(random, options.spread);
    v_.Fill(random, 1.0F);
    shape_ = {options.batch,
              options.heads,
              options.q_tokens,
              options.k_tokens,
              variant.head_dim,
              1.0F / std::sqrt(static_cast<float>(variant.head_dim))};
    std::uniform_real_distribution<double> uniform(0.0, 1.0);
    const int q_blocks = QBlocks(variant, shape_);
    const int k_blocks = (options.k_tokens - 1) / variant.k_block + 1;
    begin_.push_back(0);
    for (int tile = 0; tile < options.batch * options.heads * q_blocks; ++tile) {
      const bool empty = uniform(random) < options.empty;
      for (int j = 0; j < k_blocks; ++j) {
        if (uniform(random) < options.density && !empty) list_.push_back(j);
      }
      begin_.push_back(static_cast<std::int32_t>(list_.size()));
    }
    order_ = TileOrder(begin_, q_blocks, BlocksPerEntry(variant));
    Poison();
  }

  void Poison() {
    o_.Poison();
    std::fill(lse_.begin(), lse_.end(), std::numeric_limits<float>::quiet_NaN());
    counter_ = 0;
  }

  AttentionCall Call() {
    AttentionCall call;
    call.shape = shape_;
    call.q = q_.View();
    call.k = k_.View();
    call.v = v_.View();
    call.o = o_.View();
    call.lse = lse_.data();
    call.begin = begin_.data();
    call.list = list_.data();
    call.order = order_.data();
    call.ordered_tiles = static_cast<int>(order_.size());
    call.counter = &counter_;
    return call;
  }

  /// Memory that the kernel may access.
  std::vector<isa::GlobalRegion> Regions() {
    const auto bytes = [](const auto& v) { return static_cast<std::int64_t>(v.size() * 4); };
    return {q_.Region("q", false),
            k_.Region("k", false),
            v_.Region("v", false),
            o_.Region("o", true),
            {"lse", lse_.data(), bytes(lse_), true},
            {"begin", begin_.data(), bytes(begin_), false},
            {"list", list_.data(), bytes(list_), false},
            {"order", order_.data(), bytes(order_), false},
            {"counter", &counter_, 4, true}};
  }

  Deviation Compare() {
    Deviation result;
    double difference = 0.0;
    double size = 0.0;
    const int q_blocks = QBlocks(variant_, shape_);
    for (std::size_t tile = 0; tile + 1 < begin_.size(); ++tile) {
      const int pass = static_cast<int>(tile) / q_blocks;
      const int first = static_cast<int>(tile) % q_blocks * variant_.q_block;
      const int last = std::min(first + variant_.q_block, shape_.q_tokens);
      const std::vector<int> keys = KeysOf(tile);
      for (int row = first; row < last; ++row) {
        CompareRow(pass / shape_.heads, pass % shape_.heads, row, keys, result, difference, size);
      }
    }
    result.o = size > 0.0 ? std::sqrt(difference / size) : difference;
    return result;
  }

  /// Removes the list entries for which drop(tile, block) is true, and updates the order.
  template <typename F>
  void RemoveFromLists(F drop) {
    std::vector<std::int32_t> begin{0};
    std::vector<std::int32_t> list;
    for (std::size_t tile = 0; tile + 1 < begin_.size(); ++tile) {
      for (std::int32_t at = begin_[tile]; at < begin_[tile + 1]; ++at) {
        if (!drop(static_cast<int>(tile), list_[at])) list.push_back(list_[at]);
      }
      begin.push_back(static_cast<std::int32_t>(list.size()));
    }
    begin_ = begin;
    list_ = list;
    order_ = TileOrder(begin_, QBlocks(variant_, shape_), BlocksPerEntry(variant_));
  }

  /// All entries in the order of tiles, including those without keys.
  void OrderEveryEntry() {
    const int q_blocks = QBlocks(variant_, shape_);
    order_.clear();
    for (int tile = 0; tile + 1 < static_cast<int>(begin_.size()); ++tile) {
      if (tile % q_blocks % BlocksPerEntry(variant_) == 0) order_.push_back(tile);
    }
  }

  Tensor& k() { return k_; }
  Tensor& v() { return v_; }
  Tensor& o() { return o_; }
  std::vector<float>& lse() { return lse_; }
  std::vector<std::int32_t>& order() { return order_; }

 private:
  std::vector<int> KeysOf(std::size_t tile) const {
    std::vector<int> keys;
    for (std::int32_t at = begin_[tile]; at < begin_[tile + 1]; ++at) {
      const int first = list_[at] * variant_.k_block;
      for (int key = first; key < std::min(first + variant_.k_block, shape_.k_tokens); ++key) {
        keys.push_back(key);
      }
    }
    return keys;
  }

  void CompareRow(int b,
                  int h,
                  int row,
                  const std::vector<int>& keys,
                  Deviation& result,
                  double& difference,
                  double& size) {
    const int d = shape_.head_dim;
    std::vector<double> score(keys.size());
    double max = -std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < keys.size(); ++i) {
      double dot = 0.0;
      for (int c = 0; c < d; ++c) {
        dot += static_cast<double>(q_.At(b, h, row, c)) * k_.At(b, h, keys[i], c);
      }
      score[i] = dot * shape_.scale;
      if (std::isnan(dot)) return;  // a row that lists a NaN may be anything
      max = std::max(max, score[i]);
    }
    double sum = 0.0;
    std::vector<double> o(d, 0.0);
    for (std::size_t i = 0; i < keys.size(); ++i) {
      const double weight = std::exp(score[i] - max);
      sum += weight;
      for (int c = 0; c < d; ++c) o[c] += weight * v_.At(b, h, keys[i], c);
    }
    for (int c = 0; c < d; ++c) {
      const double want = keys.empty() ? 0.0 : o[c] / sum;
      if (std::isnan(want)) return;
      const double off = o_.At(b, h, row, c) - want;
      difference += std::isnan(off) ? std::numeric_limits<double>::infinity() : off * off;
      size += want * want;
    }
    const double want = keys.empty() ? max : max + std::log(sum);
    const double got =
        lse_[(static_cast<std::size_t>(b) * shape_.heads + h) * shape_.q_tokens + row];
    if (got == want) return;
    const double off = std::abs(got - want) / std::max(1.0, std::abs(want));
    result.lse =
        std::isnan(off) ? std::numeric_limits<double>::infinity() : std::max(result.lse, off);
  }

  Variant variant_;
  CaseOptions options_;
  AttentionShape shape_;
  Tensor q_, k_, v_, o_;
  std::vector<float> lse_;
  std::vector<std::int32_t> begin_, list_, order_;
  std::int32_t counter_ = 0;
};

}  // namespace dbsp::kernels::gpu::testing
