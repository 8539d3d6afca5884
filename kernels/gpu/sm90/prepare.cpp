// SPDX-License-Identifier: Apache-2.0
#include "kernels/gpu/sm90/prepare.h"

#include "kernels/gpu/check_call.h"
#include "kernels/gpu/device_query.h"
#include "kernels/gpu/sm90/sm90_variants.h"
#include "kernels/gpu/tensor_map_encode.h"

namespace dbsp::kernels::gpu::sm90 {
Prepared Prepare(const Variant& variant, const AttentionCall& call) {
  CheckCall(variant, call);
  CheckArch(variant, DeviceArch(variant.name));
  const MapSpecs specs = MapSpecsOf(variant, call);
  return {EncodeTensorMap(specs.q),
          EncodeTensorMap(specs.k),
          EncodeTensorMap(specs.v),
          EncodeTensorMap(specs.o),
          call.sm_count > 0 ? call.sm_count : DeviceSms(variant.name)};
}

}  // namespace dbsp::kernels::gpu::sm90
