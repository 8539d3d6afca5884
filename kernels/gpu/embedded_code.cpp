// SPDX-License-Identifier: Apache-2.0
#include "kernels/gpu/embedded_code.h"

#include <algorithm>
#include <charconv>

namespace dbsp::kernels::gpu {
namespace {

bool OneRunsOn(std::string_view word, int arch) {
  int built = 0;
  const char* const end = word.data() + word.size();
  const auto [stop, error] = std::from_chars(word.data(), end, built);
  if (error != std::errc()) return false;
  std::string_view rest(stop, static_cast<std::size_t>(end - stop));
  const bool exact = rest.starts_with('a');
  const bool family = rest.starts_with('f');
  if (exact || family) rest.remove_prefix(1);
  const bool real = rest.empty() || rest == "-real";
  const bool ptx = rest.empty() || rest == "-virtual";
  if (!real && !ptx) return false;
  if (exact) return arch == built;
  const bool same_major = arch / 10 == built / 10 && arch >= built;
  return same_major || (ptx && !family && arch >= built);
}

}  // namespace

bool CodeRunsOn(std::string_view architectures, int arch) {
  while (!architectures.empty()) {
    const std::size_t end = std::min(architectures.find(','), architectures.size());
    if (OneRunsOn(architectures.substr(0, end), arch)) return true;
    architectures.remove_prefix(std::min(end + 1, architectures.size()));
  }
  return false;
}

std::string_view PortableArchitectures() { return DBSP_PORTABLE_ARCHITECTURES; }

}  // namespace dbsp::kernels::gpu
