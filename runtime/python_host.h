// SPDX-License-Identifier: Apache-2.0
// Kernels that are Python functions: a tool replaces itself by a Python interpreter, which loads
// the tool as a shared library and lends it a table of its functions (python/dbsp/kernels.py). No
// interpreter is embedded, so that a tool needs no Python of one version.
#pragma once

#include <string>
#include <vector>

namespace dbsp::runtime {

/// Replaces this process by `python3 -m dbsp.kernels LIBRARY FILE ARGUMENTS...`. The environment
/// variable DBSP_PYTHON names another interpreter. Call it before threads start; it returns only by
/// an error. BLAS libraries run on one thread unless OMP_NUM_THREADS and the like are set.
/// library    file name; LIBRARY is its path in the folder ../lib/dbsp of this program
/// file       the Python file
/// arguments  of the tool, its name first
/// errors     Error{kUnavailable} without the library or the interpreter
[[noreturn]] void RunInPython(const std::string& library,
                              const std::string& file,
                              const std::vector<std::string>& arguments);

/// Declares that an interpreter hosts this process.
/// command  starts another such process; the tool's arguments follow
void SetPythonHost(std::vector<std::string> command);

/// The command line of another process of this program: argv[0] and `arguments`, or in an
/// interpreter its command, argv[0] and `arguments`.
[[nodiscard]] std::vector<std::string> CommandOfThisProgram(const std::string& program,
                                                            const std::string& argument);

}  // namespace dbsp::runtime
