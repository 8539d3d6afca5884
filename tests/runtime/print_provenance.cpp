// SPDX-License-Identifier: Apache-2.0
// Prints the provenance of the device in its argument, by default the CPU, with one name=value per
// line. For device_test.cpp.
#include <cstdio>

#include "runtime/device.h"

int main(int argc, char** argv) {
  const dbsp::Provenance facts = dbsp::runtime::CollectProvenance(
      dbsp::runtime::ParseDevice(argc > 1 ? argv[1] : "cpu"), argc, argv);
  std::printf("name=%s\nuuid=%s\n", facts.device_name.c_str(), facts.device_uuid.c_str());
  for (const auto& [name, value] : facts.extra) std::printf("%s=%s\n", name.c_str(), value.c_str());
}
