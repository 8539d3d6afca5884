// SPDX-License-Identifier: Apache-2.0
#include "profiler/profile_tool.h"

int main(int argc, char** argv) { return dbsp::profiler::ProfileMain(argc, argv); }
