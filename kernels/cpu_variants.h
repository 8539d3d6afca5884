// SPDX-License-Identifier: Apache-2.0
// The functions behind the table of attention.h.
#pragma once

#include "kernels/attention.h"

namespace dbsp::kernels {

/// Two passes per row in double precision, no blocking: what the others are compared with.
void AttentionReference(const AttentionArgs& args);

/// fp32 with an online softmax, vectorised; head_dim a multiple of 8 up to 256, block sides up to
/// 512.
void AttentionBlockSparse(const AttentionArgs& args);

}  // namespace dbsp::kernels
