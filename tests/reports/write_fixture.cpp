// SPDX-License-Identifier: Apache-2.0
// write_report_fixture FOLDER: the fixture's files, for tests that run the real binary.
// write_report_fixture --large FILE: a plan of 2,000 distinct cells.
#include <cstdio>
#include <exception>
#include <string_view>

#include "tests/reports/fixture.h"

int main(int argc, char** argv) {
  const bool large = argc == 3 && std::string_view(argv[1]) == "--large";
  if (argc != 2 && !large) {
    std::fprintf(stderr, "usage: write_report_fixture FOLDER | --large FILE\n");
    return 2;
  }
  try {
    if (large) {
      dbsp::reports::WriteLargePlan(argv[2]);
    } else {
      dbsp::reports::WriteFixture(argv[1]);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "write_report_fixture: %s\n", error.what());
    return 4;
  }
  return 0;
}
