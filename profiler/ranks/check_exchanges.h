// SPDX-License-Identifier: Apache-2.0
// Whether exchanges between processes move what they should, and nothing about how fast.
#pragma once

#include <string>
#include <vector>

#include "core/records.h"
#include "profiler/ranks/exchange_processes.h"

namespace dbsp::profiler {

struct CheckedExchange {
  ExchangeConfig config;
  TrialOutcome outcome = TrialOutcome::kOk;
  std::string detail = {};
};

/// Each of `suite`'s exchanges once with known values, between `ranks` ranks in all; ends early
/// when a rank is lost or the user interrupts.
[[nodiscard]] std::vector<CheckedExchange> CheckExchanges(ExchangeLeader& leader,
                                                          const std::vector<TrialConfig>& suite,
                                                          int ranks);

/// A line each and one that counts them, for people.
[[nodiscard]] std::string ChecksText(const std::vector<CheckedExchange>& checks);
/// "dbsp.exchange_check/1", docs/formats/profile.md.
[[nodiscard]] std::string ChecksJson(const std::vector<CheckedExchange>& checks,
                                     int ranks,
                                     bool one_gpu);

}  // namespace dbsp::profiler
