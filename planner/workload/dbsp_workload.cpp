// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/workload_tool.h"

int main(int argc, char** argv) { return dbsp::planner::WorkloadMain(argc, argv); }
