// SPDX-License-Identifier: Apache-2.0
// Prints numbers and text in every format that gpu_check uses; built with fmt and with its
// stand-in.
#include <fmt/format.h>

#include <cstdint>
#include <cstdio>
#include <limits>
#include <string>
#include <string_view>

int main() {
  const auto print = [](const std::string& line) { std::printf("%s\n", line.c_str()); };
  const std::string text = "text";
  const char* words = "words";
  const char literal[] = "literal";
  print(fmt::format("plain {{}} {{x}}"));
  print(fmt::format("{} {} {} {} {}", text, words, std::string_view("view"), "here", literal));
  print(fmt::format("[{:>8}] [{:<8}] [{:^8}] [{:*>6}] [{:8}]", text, words, text, "ab", text));
  for (const double value : {0.0, 1.0, -2.5, 0.1, 1e-7, 1e22, 123456.789, 3.0e-310}) {
    print(fmt::format(
        "{} {:.2f} {:.3e} {:.4g} {:8.1f} {:.0f}", value, value, value, value, value, value));
  }
  print(fmt::format("{} {} {}", 0.1F, 1.5F, std::numeric_limits<double>::infinity()));
  for (const std::int64_t value : {std::int64_t{0}, std::int64_t{-7}, std::int64_t{1} << 40}) {
    print(fmt::format("{} [{:5}] [{:<5}] [{:05}]", value, value, value, value));
  }
  print(fmt::format("{:x} {:02x} {:04x}", 255U, 7U, 0xabcU));
  print(fmt::format("{} {} {}", static_cast<unsigned char>(200), true, 'c'));
  print(fmt::format("{} {}", static_cast<const void*>(nullptr), reinterpret_cast<void*>(0x1f0)));
  return 0;
}
