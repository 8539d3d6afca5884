// SPDX-License-Identifier: Apache-2.0
// Tools must start on a machine without vendor libraries, so they must not be linked to any.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "test_paths.h"

namespace dbsp {
namespace {

std::string OutputOf(const std::string& command) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  std::string text;
  char part[512];
  while (pipe && std::fgets(part, sizeof(part), pipe.get()) != nullptr) text += part;
  return text;
}

bool HasCommand(const std::string& name) {
  return std::system(("command -v " + name + " >/dev/null 2>&1").c_str()) == 0;
}

/// Library names from lines like "0x1 (NEEDED) Shared library: [libc.so.6]".
std::vector<std::string> NeededByReadelf(const std::string& binary) {
  std::vector<std::string> names;
  std::istringstream lines(OutputOf("LC_ALL=C readelf -d '" + binary + "'"));
  for (std::string line; std::getline(lines, line);) {
    const std::size_t open = line.find('[');
    const std::size_t close = line.find(']');
    if (line.find("(NEEDED)") == std::string::npos || close == std::string::npos) continue;
    names.push_back(line.substr(open + 1, close - open - 1));
  }
  return names;
}

/// Library names from lines like "libc.so.6 => /lib/libc.so.6 (0x7f...)".
std::vector<std::string> NeededByLdd(const std::string& binary) {
  std::vector<std::string> names;
  std::istringstream lines(OutputOf("LC_ALL=C ldd '" + binary + "'"));
  for (std::string line; std::getline(lines, line);) {
    std::string name;
    if (std::istringstream(line) >> name) names.push_back(name);
  }
  return names;
}

class LinkageTest : public ::testing::TestWithParam<const char*> {};

TEST_P(LinkageTest, NoVendorLibraryIsLinked) {
  const std::string binary = std::string(DBSP_BINARY_DIR "/bin/") + GetParam();
  std::vector<std::string> names;
  if (HasCommand("readelf")) {
    names = NeededByReadelf(binary);
  } else if (HasCommand("ldd")) {
    names = NeededByLdd(binary);
  } else {
    GTEST_SKIP() << "neither readelf nor ldd is installed";
  }
  EXPECT_THAT(names, ::testing::Contains(::testing::StartsWith("libc.so"))) << "no names were read";
  for (const std::string& name : names) {
    for (const char* vendor :
         {"libcuda", "libnccl", "libcupti", "libnvidia-ml", "libcudart", "libnvrtc"}) {
      EXPECT_EQ(name.find(vendor), std::string::npos) << GetParam() << " is linked to " << name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    EveryTool,
    LinkageTest,
    ::testing::Values("dbsp-workload", "dbsp-profile", "dbsp-tune", "dbsp-replay", "dbsp-report"),
    [](const auto& test) {
      std::string name = test.param;
      name.erase(name.find('-'), 1);
      return name;
    });

}  // namespace
}  // namespace dbsp
