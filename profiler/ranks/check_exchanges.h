// SPDX-License-Identifier: Apache-2.0
// Checks the values that exchanges between processes move, without measuring times.
#pragma once

#include <string>
#include <vector>

#include "core/records.h"
#include "profiler/ranks/exchange_leader.h"

namespace dbsp::profiler {

struct CheckedExchange {
  ExchangeConfig config;
  TrialOutcome outcome = TrialOutcome::kOk;
  std::string detail = {};
};

/// Runs each exchange of `suite` once with known values, between `ranks` ranks in total. Ends early
/// when a rank is lost or the user interrupts.
[[nodiscard]] std::vector<CheckedExchange> CheckExchanges(ExchangeLeader& leader,
                                                          const std::vector<TrialConfig>& suite,
                                                          int ranks);

/// One line of text per exchange, and one with the counts.
[[nodiscard]] std::string ChecksText(const std::vector<CheckedExchange>& checks);
/// "dbsp.exchange_check/1", docs/formats/profile.md.
[[nodiscard]] std::string ChecksJson(const std::vector<CheckedExchange>& checks,
                                     int ranks,
                                     bool one_gpu);

}  // namespace dbsp::profiler
