// SPDX-License-Identifier: Apache-2.0
#include "reports/html.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <string>

#include "core/base64.h"
#include "core/json.h"

namespace dbsp::reports {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr PageBundle kPage{
    "<title>@TITLE@</title><style>@STYLE@</style>"
    "<script type=\"application/json\" data-encoding=\"@ENCODING@\">@DATA@</script>"
    "<script>@SCRIPT@</script>",
    "body{}",
    "run()"};

std::string Between(const std::string& text, const std::string& open, const std::string& close) {
  const std::size_t begin = text.find(open) + open.size();
  return text.substr(begin, text.find(close, begin) - begin);
}

std::string Gunzip(const std::string& packed, std::size_t room) {
  std::string out(room, '\0');
  z_stream stream{};
  EXPECT_EQ(inflateInit2(&stream, 15 + 16), Z_OK);
  std::string input = packed;
  stream.next_in = reinterpret_cast<Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  inflateEnd(&stream);
  return out;
}

TEST(EscapeForScriptTest, CannotEndOrCommentOutItsElementAndParsesToTheSame) {
  const Json json = {{"a", "</script><!-- <SCRIPT> ]]> \u2028"}, {"b", 1}};
  const std::string escaped = EscapeForScript(json.dump());
  EXPECT_THAT(escaped, Not(HasSubstr("<")));
  EXPECT_EQ(Json::parse(escaped), json);
}

TEST(EscapeHtmlTest, LeavesNoMarkup) {
  EXPECT_EQ(EscapeHtml("<a b=\"c\" d='e'>&"), "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;");
}

TEST(RenderHtmlTest, SmallDataStaysReadable) {
  const std::string html = RenderHtml(kPage, "A & B", {R"({"x":"</script>"})", {}});
  EXPECT_THAT(html, HasSubstr("<title>A &amp; B</title>"));
  EXPECT_THAT(html, HasSubstr("data-encoding=\"json\">{\"x\":\"\\u003c/script>\"}</script>"));
  EXPECT_THAT(html, HasSubstr("<style>body{}</style>"));
  EXPECT_THAT(html, HasSubstr("<script>run()</script>"));
}

TEST(RenderHtmlTest, LargeDataIsGzipAndComesBackWhole) {
  std::string json = "[";
  for (int i = 0; json.size() <= kPlainDataBytes; ++i) json += std::to_string(i * 7919) + ",";
  json += "0]";
  const std::string html = RenderHtml(kPage, "t", {json, {}});
  EXPECT_THAT(html, HasSubstr("data-encoding=\"gzip+base64\""));
  const auto packed = Base64Decode(Between(html, "gzip+base64\">", "</script>"));
  ASSERT_TRUE(packed.has_value());
  EXPECT_LT(packed->size(), json.size() / 2);
  EXPECT_EQ(Gunzip(*packed, json.size() + 100), json);
}

TEST(RenderHtmlTest, ValuesThatLookLikePlaceholdersStayAsTheyAre) {
  const std::string html = RenderHtml(kPage, "@DATA@", {R"(["@SCRIPT@"])", {}});
  EXPECT_THAT(html, HasSubstr("<title>@DATA@</title>"));
  EXPECT_THAT(html, HasSubstr(">[\"@SCRIPT@\"]<"));
}

TEST(GzipTest, EmptyAndLargeInputsComeBack) {
  EXPECT_EQ(Gunzip(Gzip(""), 10), "");
  const std::string large(3'000'000, 'x');
  EXPECT_EQ(Gunzip(Gzip(large), large.size() + 1), large);
  EXPECT_EQ(Gzip("same"), Gzip("same"));
}

}  // namespace
}  // namespace dbsp::reports
