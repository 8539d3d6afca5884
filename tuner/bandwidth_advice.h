// SPDX-License-Identifier: Apache-2.0
// A line of advice where measured exchanges are far below what the device's links reach.
#pragma once

#include <optional>
#include <string>

#include "core/records.h"

namespace dbsp::tuner {

/// Empty for a device without published links (a CPU, a PCIe card), and from half of the published
/// rate on. The sentence names settings of NCCL that the measuring process had.
/// gb_per_s  fastest measured exchange, bytes of one rank over time
[[nodiscard]] std::optional<std::string> BandwidthAdvice(const Provenance& device, double gb_per_s);

}  // namespace dbsp::tuner
