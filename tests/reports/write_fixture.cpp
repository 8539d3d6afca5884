// SPDX-License-Identifier: Apache-2.0
// write_report_fixture FOLDER: the fixture's files, for tests that run the real binary.
#include <cstdio>
#include <exception>

#include "tests/reports/fixture.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: write_report_fixture FOLDER\n");
    return 2;
  }
  try {
    dbsp::reports::WriteFixture(argv[1]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "write_report_fixture: %s\n", error.what());
    return 4;
  }
  return 0;
}
