// SPDX-License-Identifier: Apache-2.0
#include "profiler/ranks/check_exchanges.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/cli.h"
#include "core/error.h"
#include "core/json.h"
#include "profiler/ranks/exchange_rank.h"
#include "profiler/suites/suite.h"

namespace dbsp::profiler {
namespace {

std::ptrdiff_t CountOf(const std::vector<CheckedExchange>& checks, bool right) {
  return std::count_if(checks.begin(), checks.end(), [right](const CheckedExchange& check) {
    return (check.outcome == TrialOutcome::kOk) == right;
  });
}

}  // namespace

std::vector<CheckedExchange> CheckExchanges(ExchangeLeader& leader,
                                            const std::vector<TrialConfig>& suite,
                                            int ranks) {
  std::vector<CheckedExchange> checks;
  for (const TrialConfig& config : suite) {
    const auto* exchange = std::get_if<ExchangeConfig>(&config);
    if (exchange == nullptr) continue;
    if (leader.lost() || leader.Interrupted()) break;
    CheckedExchange check{.config = *exchange};
    try {
      leader.Check(*exchange, RanksTakingPart(*exchange, ranks));
    } catch (const WrongResult& wrong) {
      check.outcome = TrialOutcome::kWrong;
      check.detail = wrong.what();
    } catch (const Error& error) {
      if (leader.Interrupted()) break;
      check.outcome = error.code() == ErrorCode::kUnavailable ? TrialOutcome::kUnavailable
                                                              : TrialOutcome::kFailed;
      check.detail = error.what();
    }
    checks.push_back(std::move(check));
  }
  return checks;
}

std::string ChecksText(const std::vector<CheckedExchange>& checks) {
  std::string text;
  for (const CheckedExchange& check : checks) {
    const bool right = check.outcome == TrialOutcome::kOk;
    text += fmt::format("{:>12}  {}{}{}\n",
                        right ? "right" : NameOf(check.outcome),
                        Describe(check.config),
                        right ? "" : ": ",
                        check.detail);
  }
  return text +
         fmt::format("{} exchanges checked: {} right, {} wrong or failed; no times were taken\n",
                     checks.size(),
                     CountOf(checks, true),
                     CountOf(checks, false));
}

std::string ChecksJson(const std::vector<CheckedExchange>& checks, int ranks, bool one_gpu) {
  Json list = Json::array();
  for (const CheckedExchange& check : checks) {
    list.push_back({{"key", KeyOf(check.config)},
                    {"what", Describe(check.config)},
                    {"outcome", NameOf(check.outcome)},
                    {"detail", check.detail}});
  }
  return DumpJson({{"schema", "dbsp.exchange_check/1"},
                   {"commit", BuildCommit()},
                   {"ranks", ranks},
                   {"one_gpu", one_gpu},
                   {"right", CountOf(checks, true)},
                   {"not_right", CountOf(checks, false)},
                   {"exchanges", std::move(list)}},
                  1) +
         "\n";
}

}  // namespace dbsp::profiler
