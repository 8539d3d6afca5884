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
  parse("{\"a\": \"\xff\"}", {"line 1, column 8, key 'a'", "invalid UTF-8"});
  parse("{\"a\": [1, NaN]}", {"line 1, column 11, key 'a[1]'", "unexpected character"});
  parse("{\"a\": 'b'}", {"line 1, column 7, key 'a'"});
}

std::string Repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

TEST(ParseJsonTest, NumbersThatNoTypeHoldsAreRefusedWithTheirKey) {
  const auto refuse = [](const std::string& number) {
    ExpectError(
        ErrorCode::kCorruptInput,
        {"f.json: line 2, column ", ", key 'a.b[1]': ", "out of range"},
        [&] { static_cast<void>(ParseJson("{\"a\":\n {\"b\": [0, " + number + "]}}", "f.json")); });
  };
  for (const char* number : {"1e400",
                             "-1e400",
                             "1e-400",
                             "18446744073709551616",
                             "-9223372036854775809",
                             "99999999999999999999999999"}) {
    refuse(number);
  }
  const Json json = ParseJson(
      "[18446744073709551615, -9223372036854775808, 5e-324, 1.7e308, 0e400, -0.0, 0]", "f.json");
  EXPECT_EQ(json[0].get<std::uint64_t>(), 18446744073709551615U);
  EXPECT_EQ(json[1].get<std::int64_t>(), std::numeric_limits<std::int64_t>::min());
  EXPECT_GT(json[2].get<double>(), 0);
}

TEST(ParseJsonTest, KeysThatAppearTwiceAreRefused) {
  ExpectError(
      ErrorCode::kCorruptInput, {"f.json: line 1, column ", "key 'a[1].heads'", "twice"}, [] {
        static_cast<void>(
            ParseJson(R"({"a":[{"heads":1},{"heads":1,"x":{"heads":2},"heads":3}]})", "f.json"));
      });
}

TEST(ParseJsonTest, NulCharactersAreRefusedAndAByteOrderMarkIsSkipped) {
  for (const std::string& text : {std::string("{}\0", 3),
                                  std::string("{}\0{\"a\":1}", 10),
                                  std::string(R"(["a\u0000b"])"),
                                  std::string(R"({"a\u0000b":1})")}) {
    ExpectError(ErrorCode::kCorruptInput, {"f.json: line 1, column ", "NUL character"}, [&] {
      static_cast<void>(ParseJson(text, "f.json"));
    });
  }
  EXPECT_EQ(ParseJson("\xef\xbb\xbf{\"a\": 1}", "f.json")["a"], 1);
}

TEST(ParseJsonTest, DepthIsLimitedWithoutRecursion) {
  const auto refuse = [](const std::string& text, int limit) {
    ExpectError(ErrorCode::kCorruptInput,
                {"f.json: line 1, column ", fmt::format("more than {} deep", limit)},
                [&] { static_cast<void>(ParseJson(text, "f.json", {.max_depth = limit})); });
  };
  const int standard = JsonLimits{}.max_depth;
  refuse(Repeated("[", 100'000), standard);
  refuse(Repeated("[", 100'000) + Repeated("]", 100'000), standard);
  refuse(Repeated("{\"a\":", 100'000), standard);
  refuse("[[[[1]]]]", 3);
  EXPECT_EQ(ParseJson("[[[1]],[[2]]]", "f.json", {.max_depth = 3}).size(), 2U);
  const std::string deepest = Repeated("[", standard) + Repeated("]", standard);
  EXPECT_EQ(DumpJson(ParseJson(deepest, "f.json")), deepest);
}

TEST(ParseJsonTest, BytesAndValuesAreLimited) {
  ExpectError(ErrorCode::kCorruptInput, {"f.json: 9 bytes of JSON", "at most 8"}, [] {
    static_cast<void>(ParseJson("[1,2,3,4]", "f.json", {.max_bytes = 8}));
  });
  const std::string text = R"([1,"x",null,{"a":[2]}])";  // 4 + 3 + 4 + 2 + 4 + 1
  const std::size_t values = CountJsonValues(ParseJson(text, "f.json"));
  EXPECT_EQ(values, 18U);
  static_cast<void>(ParseJson(text, "f.json", {.max_values = values}));
  ExpectError(ErrorCode::kCorruptInput,
              {"f.json: line 1, column ", "key '[3].a[0]'", "more values than the 17"},
              [&] { static_cast<void>(ParseJson(text, "f.json", {.max_values = values - 1})); });
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
  EXPECT_EQ(view["big"].Unsigned(), 18446744073709551615U);
  expect({"key 's'", "an integer"}, [&] { static_cast<void>(view["s"].Unsigned()); });
  int sum = 0;
  const Json three = {1, 2, 3};
  for (const JsonView& item : JsonView(three, origin).Items()) {
    sum += static_cast<int>(item.Int());
  }
  EXPECT_EQ(sum, 6);
  const Json much = {{"text", std::string(1000, 'x')}, {"list", std::vector<int>(1000, 7)}};
  const JsonView large(much, origin);
  expect({"key 'text'", "found \"xxx"}, [&] { static_cast<void>(large["text"].Int()); });
  expect({"key 'list'", "found an array of 1000 entries"},
         [&] { static_cast<void>(large["list"].Int()); });
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
