// SPDX-License-Identifier: Apache-2.0
// Feature maps of linear attention.
#pragma once

#include <cstdint>

namespace dbsp::kernels {

/// Feature map phi of linear attention, applied to a row of head_dim channels.
enum class FeatureMap : std::uint8_t {
  kSoftmax,  ///< softmax over the channels; SLA models are trained with it
  kElu,  ///< elu(x) + 1 = x + 1 above 0, e^x below
  kRelu,  ///< max(x, 0)
};

}  // namespace dbsp::kernels
