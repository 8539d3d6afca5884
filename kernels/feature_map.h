// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace dbsp::kernels {

/// phi of linear attention, over a row of head_dim channels.
enum class FeatureMap : std::uint8_t {
  kSoftmax,  ///< over the channels; what SLA's models are trained with
  kElu,  ///< elu(x) + 1 = x + 1 above 0, e^x below
  kRelu,  ///< max(x, 0)
};

}  // namespace dbsp::kernels
