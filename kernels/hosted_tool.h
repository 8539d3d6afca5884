// SPDX-License-Identifier: Apache-2.0
// A tool inside a Python interpreter (runtime/python_host.h).
#pragma once

#include "kernels/kernel_plugin.h"

namespace dbsp::kernels {

/// Adds the interpreter's kernels to the table and runs a tool.
/// table    functions of the interpreter; must outlive the call
/// file     the Python file, for names and the hash
/// command  starts another such interpreter; ends with null
/// returns  the exit code; a plugin that cannot be used is reported on stderr as the tool does
[[nodiscard]] int RunHostedTool(int (*tool)(int argc, const char* const* argv),
                                int argc,
                                const char* const* argv,
                                const dbsp_kernel_plugin_table* table,
                                const char* file,
                                const char* const* command) noexcept;

}  // namespace dbsp::kernels
