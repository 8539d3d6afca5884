// SPDX-License-Identifier: Apache-2.0
// Helpers of the emulator tests: runs with every completion and several seeds, messages of faulty
// kernels, bf16 numbers.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/error.h"
#include "kernels/gpu/isa/isa.h"

namespace dbsp::kernels::gpu::isa {

/// Asynchronous operations early, late and at random, threads in several orders.
inline std::vector<RunOptions> Schedules(int seeds = 6) {
  std::vector<RunOptions> all;
  for (int seed = 1; seed <= seeds; ++seed) {
    for (const Completion completion :
         {Completion::kRandom, Completion::kEarly, Completion::kLate}) {
      RunOptions options;
      options.seed = static_cast<std::uint64_t>(seed);
      options.completion = completion;
      all.push_back(options);
    }
  }
  return all;
}

inline std::string Named(const RunOptions& options) {
  return fmt::format("seed {} completion {}", options.seed, static_cast<int>(options.completion));
}

/// Message of the fault that ends a run; "" for a run without faults.
inline std::string Refusal(int threads,
                           int shared_bytes,
                           const RunOptions& options,
                           const std::function<void()>& body) {
  try {
    RunGrid(1, threads, shared_bytes, options, body);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

/// Expects a fault whose message contains these texts, under every schedule.
inline void ExpectRefused(const std::string& words,
                          int threads,
                          int shared_bytes,
                          const std::function<void()>& body) {
  for (const RunOptions& options : Schedules()) {
    const std::string message = Refusal(threads, shared_bytes, options, body);
    EXPECT_NE(message.find(words), std::string::npos) << Named(options) << ": " << message;
  }
}

/// ExpectRefused for faults that appear only when data arrive late: always with late completion, at
/// random otherwise.
inline void ExpectRefusedWhenLate(const std::string& words,
                                  int threads,
                                  int shared_bytes,
                                  const std::function<void()>& body) {
  for (const RunOptions& options : Schedules()) {
    if (options.completion != Completion::kLate) continue;
    const std::string message = Refusal(threads, shared_bytes, options, body);
    EXPECT_NE(message.find(words), std::string::npos) << Named(options) << ": " << message;
  }
}

/// Expects a run without faults under every schedule.
inline void ExpectAccepted(int threads, int shared_bytes, const std::function<void()>& body) {
  for (const RunOptions& options : Schedules()) {
    EXPECT_EQ(Refusal(threads, shared_bytes, options, body), "") << Named(options);
  }
}

inline float FromBf16(std::uint16_t half) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(half) << 16U);
}

/// Small integers, exact in bf16, whose products and sums are exact in fp32: results are compared
/// for equality, whatever the order of a sum.
inline std::uint16_t SmallBf16(std::uint64_t i) {
  const std::uint64_t mixed = (i + 1) * 0x9E3779B97F4A7C15ULL;
  const auto value = static_cast<float>(static_cast<int>((mixed >> 40U) % 15U) - 7);
  return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16U);
}

}  // namespace dbsp::kernels::gpu::isa
