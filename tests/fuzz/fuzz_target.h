// SPDX-License-Identifier: Apache-2.0
// What every fuzz target shares. A target calls one parser with bytes from outside. A dbsp::Error
// is a correct answer unless it is one that dbsp itself would have to answer for.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace dbsp::fuzz {

/// Calls `parse`. Ends the process when it throws anything but an Error with an exit code of bad
/// input or of missing hardware, or an Error whose message is empty or longer than one line.
void ExpectResultOrError(const std::function<void()>& parse);

/// Ends the process with `message`: the target found a fault.
[[noreturn]] void ReportFault(const std::string& message);

/// A file with the given bytes, for parsers that take a path. It lies in memory where the system
/// has /dev/shm. Every call with the same suffix replaces the same file.
[[nodiscard]] std::filesystem::path InputFile(std::string_view bytes, const std::string& suffix);

}  // namespace dbsp::fuzz

/// The entry of libFuzzer. The body that follows gets the input as `bytes`.
#define DBSP_FUZZ_TARGET()                                                               \
  static void ParseInput(std::string_view bytes);                                        \
  extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, unsigned long size)   \
      __attribute__((used));                                                             \
  extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, unsigned long size) { \
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);             \
    dbsp::fuzz::ExpectResultOrError([&] { ParseInput(bytes); });                         \
    return 0;                                                                            \
  }                                                                                      \
  static void ParseInput(std::string_view bytes)
