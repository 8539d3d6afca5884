// SPDX-License-Identifier: Apache-2.0
// Properties of the current device that launchers need.
#pragma once

namespace dbsp::kernels::gpu {

/// Compute capability, 10 * major + minor.
/// kernel   name of the kernel, for the message
/// errors   Error{kUnavailable} with the CUDA runtime's text when there is no device
int DeviceArch(const char* kernel);
/// Number of SMs. kernel, errors: see DeviceArch
int DeviceSms(const char* kernel);

}  // namespace dbsp::kernels::gpu
