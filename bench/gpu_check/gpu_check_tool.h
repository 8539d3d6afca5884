// SPDX-License-Identifier: Apache-2.0
// gpu_check: compares the results of the GPU kernels with fp64 and measures their speed.
// A part of a library, so that tests run the whole tool on emulated GPUs.
#pragma once

namespace dbsp::gpu_check {

/// Exit code where nothing is wrong but the budget ended before a part was done; timeout(1) uses
/// the same code for a command that it stops.
inline constexpr int kExitCutOff = 124;

/// The tool's main(): reads the flags and runs the parts one after the other.
/// returns  0 = every result is right, 1 = a result is wrong, kExitCutOff; 2, 3 and 4 as every tool
///          (core/cli.h)
int GpuCheckMain(int argc, const char* const* argv);

}  // namespace dbsp::gpu_check
