// SPDX-License-Identifier: Apache-2.0
// json.h, suggest.h, enum names and error.h: the texts of errors.
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/json.h"
#include "core/plan.h"
#include "core/records.h"
#include "core/strategy.h"
#include "core/suggest.h"
#include "tests/core/expect_error.h"

namespace dbsp {
namespace {

using testing::ExpectError;

TEST(ErrorTest, MessagesAreOneLineWhateverTheyQuote) {
  EXPECT_STREQ(Error(ErrorCode::kIo, "a\nb\tc\x1b[0m").what(), "a\\nb\\tc\\u001b[0m");
  EXPECT_STREQ(Error(ErrorCode::kIo, "gr\xc3\xbc\xc3\x9f").what(), "gr\xc3\xbc\xc3\x9f");
}

TEST(ErrorTest, ExitCodesFollowTheKind) {
  EXPECT_EQ(ExitCode(ErrorCode::kInvalidArgument), 2);
  EXPECT_EQ(ExitCode(ErrorCode::kCorruptInput), 2);
  EXPECT_EQ(ExitCode(ErrorCode::kNotFound), 2);
  EXPECT_EQ(ExitCode(ErrorCode::kMismatch), 2);
  EXPECT_EQ(ExitCode(ErrorCode::kIo), 2);
  EXPECT_EQ(ExitCode(ErrorCode::kMeasurement), 1);
  EXPECT_EQ(ExitCode(ErrorCode::kUnavailable), 3);
  EXPECT_EQ(ExitCode(ErrorCode::kInternal), 4);
}

TEST(ParseJsonTest, MalformedTextIsNamedByLineAndColumn) {
  const auto parse = [](const char* text, const std::vector<std::string>& words) {
    ExpectError(
        ErrorCode::kCorruptInput, words, [&] { static_cast<void>(ParseJson(text, "f.json")); });
  };
  parse("{\n \"a\": x\n}", {"f.json: line 2, column 7", "unexpected character"});
  parse("{\"a\": ", {"line 1", "ends early"});
  parse("", {"line 1", "ends early"});
  parse("{} {}", {"line 1, column 4"});
}

TEST(JsonViewTest, EveryAccessorNamesFileKeyExpectedAndFound) {
  const std::string origin = "f.json";
  const Json json = Json::parse(
      R"({"s":"x","n":1.5,"i":300,"b":true,"list":[1,{"deep":"y"}],"big":18446744073709551615})");
  const JsonView view(json, origin);
  const auto expect = [](const std::vector<std::string>& words, const std::function<void()>& body) {
    ExpectError(ErrorCode::kCorruptInput, words, body);
  };
  EXPECT_EQ(view["s"].String(), "x");
  EXPECT_EQ(view["i"].Int(0, 300), 300);
  EXPECT_EQ(view["n"].Number(0, 2), 1.5);
  EXPECT_TRUE(view["b"].Bool());
  EXPECT_EQ(view["list"][1]["deep"].String(), "y");
  expect({"f.json", "'none' is missing"}, [&] { static_cast<void>(view["none"]); });
  expect({"'list[1].none' is missing"}, [&] { static_cast<void>(view["list"][1]["none"]); });
  expect({"key 'list[1].deep'", "an integer", "\"y\""},
         [&] { static_cast<void>(view["list"][1]["deep"].Int()); });
  expect({"key 'i'", "0 to 299", "300"}, [&] { static_cast<void>(view["i"].Int(0, 299)); });
  expect({"key 'n'", "an integer", "1.5"}, [&] { static_cast<void>(view["n"].Int()); });
  expect({"key 'big'", "an integer"}, [&] { static_cast<void>(view["big"].Int()); });
  expect({"key 'n'", "2 to 3"}, [&] { static_cast<void>(view["n"].Number(2, 3)); });
  expect({"key 's'", "a number"}, [&] { static_cast<void>(view["s"].Number()); });
  expect({"key 's'", "true or false"}, [&] { static_cast<void>(view["s"].Bool()); });
  expect({"key 'i'", "a string"}, [&] { static_cast<void>(view["i"].String()); });
  expect({"key 's'", "an array"}, [&] { static_cast<void>(view["s"].Items()); });
  expect({"key 'list'", "more than 2"}, [&] { static_cast<void>(view["list"][2]); });
  expect({"key 's'", "an object"}, [&] { static_cast<void>(view["s"]["t"]); });
  expect({"'schema' is missing"}, [&] { view.RequireSchema("x/1"); });
  expect({"'big'", "nearest known: 'bag'"}, [&] {
    view.RefuseOtherKeys({"s", "n", "i", "b", "list", "bag"});
  });
}

TEST(DumpJsonTest, KeysAreSorted) {
  EXPECT_EQ(DumpJson(Json::parse(R"({"b":1,"a":[2]})")), R"({"a":[2],"b":1})");
}

TEST(NearestTest, DistanceCountsEdits) {
  EXPECT_EQ(EditDistance("", ""), 0);
  EXPECT_EQ(EditDistance("", "abc"), 3);
  EXPECT_EQ(EditDistance("ring", "rign"), 1);  // a swap of neighbours is one edit
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3);
  EXPECT_EQ(EditDistance("dense", "dens"), 1);
}

TEST(NearestTest, FirstOfTheNearestIsNamedWithAllKnown) {
  const std::vector<std::string> known = {"dense", "radial", "random"};
  EXPECT_EQ(NearestName("radail", known), "radial");
  EXPECT_EQ(NearestName("x", std::vector<std::string>{}), "");
  EXPECT_EQ(UnknownName("mask rule", "densee", known),
            "unknown mask rule 'densee'; nearest known: 'dense' (known: dense, radial, random)");
}

TEST(NamesTest, EveryNameIsParsedBackAndMisspellingsAreAnswered) {
  for (int i = 0; i < 6; ++i) {
    const auto family = static_cast<Family>(i);
    EXPECT_EQ(ParseFamily(NameOf(family)), family);
    const auto kind = static_cast<SegmentKind>(i);
    EXPECT_EQ(ParseSegmentKind(NameOf(kind)), kind);
  }
  for (int i = 0; i < 4; ++i) {
    const auto exchange = static_cast<Exchange>(i);
    EXPECT_EQ(ParseExchange(NameOf(exchange)), exchange);
    const auto source = static_cast<CostSource>(i);
    EXPECT_EQ(ParseCostSource(NameOf(source)), source);
  }
  for (int i = 0; i < 5; ++i) {
    const auto outcome = static_cast<TrialOutcome>(i);
    EXPECT_EQ(ParseTrialOutcome(NameOf(outcome)), outcome);
  }
  ExpectError(ErrorCode::kInvalidArgument,
              {"unknown family 'ulyses'", "nearest known: 'ulysses'"},
              [] { static_cast<void>(ParseFamily("ulyses")); });
}

}  // namespace
}  // namespace dbsp
