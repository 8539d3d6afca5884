// SPDX-License-Identifier: Apache-2.0
#include "kernels/gpu/sm80/prepare.h"

#include "kernels/gpu/check_call.h"
#include "kernels/gpu/device_query.h"

namespace dbsp::kernels::gpu::sm80 {

int Prepare(const Variant& variant, const AttentionCall& call) {
  CheckCall(variant, call);
  CheckArch(variant, DeviceArch(variant.name));
  return call.sm_count > 0 ? call.sm_count : DeviceSms(variant.name);
}

}  // namespace dbsp::kernels::gpu::sm80
