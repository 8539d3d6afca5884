// SPDX-License-Identifier: Apache-2.0
#include "reports/document_check.h"

#include <gtest/gtest.h>

#include "core/json.h"
#include "reports/document.h"
#include "tests/core/expect_error.h"
#include "tests/reports/fixture.h"

namespace dbsp::reports {
namespace {

using ::dbsp::testing::ExpectError;

TEST(DocumentCheckTest, ADocumentThatThePageCannotDrawIsNamedByItsKey) {
  const Json whole = Json::parse(ReportDocument(FixtureInputs()));
  CheckDocument(whole);
  const auto refused = [&](const char* pointer, const Json& value, const char* key) {
    SCOPED_TRACE(pointer);
    Json changed = whole;
    changed[Json::json_pointer(pointer)] = value;
    ExpectError(ErrorCode::kInternal, {key, "dbsp.report/1"}, [&] { CheckDocument(changed); });
  };
  refused("/schema", "dbsp.report/9", "schema");
  refused("/plans/0/verdict/predicted_ms", "fast", "plans[0].verdict.predicted_ms");
  refused("/plans/0/verdict/no_such_key", 1, "plans[0].verdict");
  refused("/plans/0/verdict/cells", -1, "plans[0].verdict.cells");
  refused("/trials/5/unevenness", "even", "trials[5]");
  refused("/trials/0/kind", "none", "trials[0]");
  Json cut = whole;
  cut["plans"][0].erase("shown");
  ExpectError(ErrorCode::kInternal, {"plans[0]", "shown"}, [&] { CheckDocument(cut); });
}

TEST(DocumentCheckTest, EveryOutcomeOfEveryKindOfTrialIsADocument) {
  AttentionConfig attention;
  attention.q_blocks = attention.k_blocks = 4;
  ExchangeConfig exchange;
  exchange.op = "hop";
  OverlapConfig overlap;
  overlap.attention = attention;
  overlap.exchange = exchange;
  for (const TrialConfig& config : {TrialConfig{attention},
                                    TrialConfig{exchange},
                                    TrialConfig{LocalConfig{}},
                                    TrialConfig{overlap}}) {
    for (int outcome = 0; outcome <= static_cast<int>(TrialOutcome::kUnavailable); ++outcome) {
      ReportInputs inputs = FixtureInputs();
      inputs.trials.resize(1);
      inputs.trials[0].trial = {};
      inputs.trials[0].trial.config = config;
      inputs.trials[0].trial.outcome = static_cast<TrialOutcome>(outcome);
      const Json trial = Json::parse(ReportDocument(inputs))["trials"][0];
      EXPECT_TRUE(trial["median_ns"].is_null());
    }
  }
}

}  // namespace
}  // namespace dbsp::reports
