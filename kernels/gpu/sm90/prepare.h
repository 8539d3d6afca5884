// SPDX-License-Identifier: Apache-2.0
// Host code of a launch that nvcc cannot parse, because it formats messages.
#pragma once

#include <cuda.h>

#include "kernels/gpu/attention.h"

namespace dbsp::kernels::gpu::sm90 {

struct Prepared {
  CUtensorMap q;
  CUtensorMap k;
  CUtensorMap v;
  CUtensorMap o;
  int blocks = 0;  ///< thread blocks of the grid
};

/// Checks the call and encodes its tensor maps.
/// errors  those of CheckCall and CheckArch for the current device; Error{kUnavailable} with the
/// CUDA
///         runtime's text when there is no device
Prepared Prepare(const Variant& variant, const AttentionCall& call);

}  // namespace dbsp::kernels::gpu::sm90
