// SPDX-License-Identifier: Apache-2.0
// dbsp-profile as a library that python/dbsp/kernels.py loads.
#include "kernels/hosted_tool.h"
#include "profiler/profile_tool.h"

extern "C" __attribute__((visibility("default"))) int dbsp_hosted_main(
    int argc,
    const char* const* argv,
    const dbsp_kernel_plugin_table* table,
    const char* file,
    const char* const* command) {
  return dbsp::kernels::RunHostedTool(
      &dbsp::profiler::ProfileMain, argc, argv, table, file, command);
}
