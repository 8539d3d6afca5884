// SPDX-License-Identifier: Apache-2.0
// Compares the key lists and key bits that the device makes with those of kernels/key_lists.h and
// kernels/key_predictors.h.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "bench/gpu_check/case_report.h"
#include "bench/gpu_check/compare.h"
#include "bench/gpu_check/device_case.h"
#include "bench/gpu_check/device_data.h"
#include "core/bf16.h"
#include "kernels/gpu/gather/list_builders.h"
#include "kernels/key_lists.h"
#include "planner/workload/rules/prng.h"

namespace dbsp::gpu_check {
namespace {

using kernels::KeyLists;
using planner::Prng;
using runtime::CudaBuffer;
using runtime::ToDevice;

/// Largest part of the kept keys that may differ between the device and the CPU. Scores differ in
/// their last bits, so keys near the threshold may differ; rounding explains no more than this.
constexpr double kMaxDifferingKeys = 1e-3;

/// Key bits of all heads in the device's form, and the lists that the CPU makes of them.
struct Bits {
  std::vector<std::uint32_t> words;
  KeyLists lists;
  int tiles = 0;
};

void Append(const BlockMask& mask, Bits& bits) {
  for (int row = 0; row < mask.rows(); ++row) {
    for (const std::uint64_t word : mask.row(row)) {
      bits.words.push_back(static_cast<std::uint32_t>(word));
      bits.words.push_back(static_cast<std::uint32_t>(word >> 32U));
    }
  }
  bits.tiles += mask.rows();
  AppendKeyLists(mask, bits.lists);
}

Bits RandomBits(int heads, int rows, int keys, Prng& prng) {
  Bits bits;
  for (int head = 0; head < heads; ++head) {
    BlockMask mask(rows, keys);
    const int run = prng.Below(2) == 0 ? 1 : 70;
    for (int row = 0; row < rows; ++row) {
      for (int key = 0; key < keys; key += run) {
        if (prng.Below(3) == 0) mask.SetRange(row, key, std::min(key + run, keys));
      }
    }
    Append(mask, bits);
  }
  return bits;
}

KeyLists Download(const CudaBuffer& begin, const CudaBuffer& list, const Context& context) {
  KeyLists lists;
  lists.begin.resize(begin.bytes() / 4);
  lists.list.resize(list.bytes() / 4);
  begin.Download(lists.begin.data(), begin.bytes(), context.stream());
  list.Download(lists.list.data(), list.bytes(), context.stream());
  return lists;
}

std::pair<bool, std::string> CheckLists(Prng& prng, Context& context) {
  const int keys = 1 + static_cast<int>(prng.Below(3000));
  const Bits bits = RandomBits(2, 1 + static_cast<int>(prng.Below(9)), keys, prng);
  const CudaBuffer words =
      ToDevice(std::span<const std::uint32_t>(bits.words), "bits", context.stream());
  const CudaBuffer begin(4 * bits.lists.begin.size(), "offsets");
  const CudaBuffer list(4 * bits.lists.list.size(), "keys");
  const CudaBuffer arranged(4 * bits.lists.list.size(), "arranged keys");
  for (const CudaBuffer* buffer : {&begin, &list, &arranged}) buffer->Fill(0xFF, context.stream());
  kernels::gpu::KeyListCall call;
  call.words = words.As<std::uint32_t>();
  call.tiles = bits.tiles;
  call.k_tokens = keys;
  call.begin = begin.As<std::int32_t>();
  call.list = list.As<std::int32_t>();
  call.capacity = static_cast<std::int32_t>(bits.lists.list.size());
  call.stream = context.stream().get();
  if (call.capacity == 0) return {true, "the case has no keys"};
  LaunchKeyLists(call);
  kernels::gpu::LaunchArrangeRuns(
      call.begin, call.list, arranged.As<std::int32_t>(), bits.tiles, call.stream);
  context.stream().Synchronize("key lists");
  if (Download(begin, list, context) != bits.lists)
    return {false, "the lists differ from the CPU's"};
  KeyLists expected = bits.lists;
  kernels::ArrangeRuns(expected);
  const bool same = Download(begin, arranged, context) == expected;
  return {same, same ? "equal" : "the arranged lists differ from the CPU's"};
}

/// Counts the bits that differ between the device and the CPU.
std::pair<bool, std::string> CompareBits(const std::vector<std::uint32_t>& device,
                                         const Bits& cpu) {
  std::int64_t differ = 0;
  for (std::size_t i = 0; i < device.size(); ++i) differ += std::popcount(device[i] ^ cpu.words[i]);
  const double part = static_cast<double>(differ) /
                      static_cast<double>(std::max<std::size_t>(1, cpu.lists.list.size()));
  return {part <= kMaxDifferingKeys,
          fmt::format("{} of {} kept keys differ", differ, cpu.lists.list.size())};
}

std::pair<bool, std::string> CheckPredictor(bool threshold,
                                            int head_dim,
                                            Prng& prng,
                                            Context& context) {
  kernels::gpu::AttentionShape shape;
  shape.heads = 2;
  shape.head_dim = head_dim;
  shape.q_tokens = 100 + static_cast<int>(prng.Below(400));
  shape.k_tokens = 100 + static_cast<int>(prng.Below(700));
  shape.scale = 1.0F / std::sqrt(static_cast<float>(head_dim));
  const int q_block = prng.Below(2) == 0 ? 64 : 128;
  const Tensors tensors(shape, Layout::kHeadsFirst, prng.Next() >> 8, context.stream());
  const auto all = tensors.Call();
  const int rows = (shape.q_tokens + q_block - 1) / q_block;
  const auto row_words = static_cast<std::size_t>(kernels::gpu::KeyWords(shape.k_tokens));
  Bits cpu;
  std::vector<float> lse;
  for (int head = 0; head < shape.heads; ++head) {
    const auto floats = [&](int which) {
      std::vector<float> values;
      for (const std::uint16_t bits : tensors.Input(which, 0, head, context.stream())) {
        values.push_back(FromBf16(bits));
      }
      return values;
    };
    const std::vector<float> q = floats(0);
    const std::vector<float> k = floats(1);
    const kernels::ScoreInput input{q, k, head_dim, shape.scale};
    const float level = 2.0F / static_cast<float>(shape.k_tokens);
    Append(
        threshold ? KeysAboveThreshold(input, q_block, level) : KeysOfTopCdf(input, q_block, 0.9F),
        cpu);
    const auto q_bits = tensors.Input(0, 0, head, context.stream());
    const auto k_bits = tensors.Input(1, 0, head, context.stream());
    const Blocks blocks{shape.q_tokens, shape.k_tokens, shape.q_tokens, shape.k_tokens};
    const Reference dense = ReferenceOnCpu({q_bits, k_bits, k_bits},
                                           head_dim,
                                           static_cast<double>(shape.scale),
                                           Full(blocks, 1),
                                           0,
                                           blocks,
                                           1);
    for (const double value : dense.lse) lse.push_back(static_cast<float>(value));
  }
  const auto tiles = static_cast<std::size_t>(shape.heads) * static_cast<std::size_t>(rows);
  const CudaBuffer words(4 * tiles * row_words, "bits");
  words.Fill(0xFF, context.stream());
  kernels::gpu::KeyBitsCall call;
  call.shape = shape;
  call.q = all.q;
  call.k = all.k;
  call.q_block = q_block;
  call.words = words.As<std::uint32_t>();
  call.stream = context.stream().get();
  const CudaBuffer lse_buffer =
      ToDevice(std::span<const float>(lse), "log-sum-exp", context.stream());
  const CudaBuffer pooled(2 * tiles * static_cast<std::size_t>(head_dim), "means");
  const CudaBuffer scores(4 * tiles * 32 * row_words, "scores");
  if (threshold) {
    LaunchThresholdBits(call, lse_buffer.As<float>(), 2.0F / static_cast<float>(shape.k_tokens));
  } else {
    LaunchTopCdfBits(call, 0.9F, pooled.data(), scores.As<float>());
  }
  context.stream().Synchronize("predictors of keys");
  std::vector<std::uint32_t> device(tiles * row_words);
  words.Download(device.data(), words.bytes(), context.stream());
  return CompareBits(device, cpu);
}

}  // namespace

bool CheckListBuilders(const char* part, int cases, Context& context) {
  if (!context.FilterMatches("lists")) return true;
  CaseReport report(part, "key lists and predictors", context);
  for (int index = 0; index < cases && report.HasTime(); ++index) {
    Prng prng{context.options.seed, static_cast<std::uint64_t>(index), 99};
    const int head_dim = index % 2 == 0 ? 128 : 64;
    report.Run("key_lists", index, [&] { return CheckLists(prng, context); });
    report.Run(
        "key_bits.threshold", index, [&] { return CheckPredictor(true, head_dim, prng, context); });
    report.Run(
        "key_bits.top_cdf", index, [&] { return CheckPredictor(false, head_dim, prng, context); });
  }
  return report.Finish();
}

}  // namespace dbsp::gpu_check
