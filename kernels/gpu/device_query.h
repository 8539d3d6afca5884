// SPDX-License-Identifier: Apache-2.0
// What launchers ask about the current device.
#pragma once

namespace dbsp::kernels::gpu {

/// Ten times the major plus the minor compute capability, and the number of SMs.
/// kernel   who asks, for the message
/// errors   Error{kUnavailable} in the runtime's words when there is no device
int DeviceArch(const char* kernel);
int DeviceSms(const char* kernel);

}  // namespace dbsp::kernels::gpu
