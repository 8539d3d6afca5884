// SPDX-License-Identifier: Apache-2.0
#include "profiler/ranks/exchange_messages.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/core/expect_error.h"

namespace dbsp::profiler {
namespace {

void Check(const std::string& text) {
  const std::string origin = "rank 3";
  const Json message = ParseJson(text, origin);
  CheckMessage(JsonView(message, origin));
}

TEST(ExchangeMessagesTest, MessagesOfRanksAreAccepted) {
  for (const char* text : {R"({"do":"begin","config":"{}","size":4,"id":"AAAA","trial":1})",
                           R"({"did":"sample","took":17,"trial":1})",
                           R"({"do":"beside","repeats":8,"trial":2})",
                           R"({"do":"abort","why":"a reason","trial":2})",
                           R"({"did":"begin","wrong":"a value","trial":2})",
                           R"({"failed":"a reason","trial":0})",
                           R"({"interrupted":true})"}) {
    EXPECT_NO_THROW(Check(text)) << text;
  }
}

TEST(ExchangeMessagesTest, OtherTypesValuesAndKeysAreNamed) {
  const auto expect = [](const std::string& text, const char* key) {
    testing::ExpectError(ErrorCode::kCorruptInput, {"rank 3", key}, [&] { Check(text); });
  };
  for (const std::string key : {"do", "did", "config", "id", "why", "wrong", "failed"}) {
    for (const std::string value : {"1", "null", "[]", "{}", "true"}) {
      expect("{\"" + key + "\":" + value + "}", key.c_str());
    }
  }
  for (const std::string key : {"trial", "size", "repeats", "took"}) {
    for (const std::string value : {"-1", "1.5", "\"1\"", "null", "[1]", "9223372036854775808"}) {
      expect("{\"" + key + "\":" + value + "}", key.c_str());
    }
  }
  expect(R"({"size":0})", "size");
  expect(R"({"size":65537})", "size");
  expect(R"({"trial":2147483648})", "trial");
  expect(R"({"interrupted":1})", "interrupted");
  expect(R"({"sudo":"all"})", "sudo");
}

}  // namespace
}  // namespace dbsp::profiler
