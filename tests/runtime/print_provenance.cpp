// SPDX-License-Identifier: Apache-2.0
// Prints what a process finds out about its machine, one name=value a line, for device_test.cpp.
#include <cstdio>

#include "runtime/device.h"

int main(int argc, char** argv) {
  const dbsp::Provenance facts = dbsp::runtime::CollectProvenance({}, argc, argv);
  for (const auto& [name, value] : facts.extra) std::printf("%s=%s\n", name.c_str(), value.c_str());
}
