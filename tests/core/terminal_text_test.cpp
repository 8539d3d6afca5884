// SPDX-License-Identifier: Apache-2.0
#include "core/terminal_text.h"

#include <gtest/gtest.h>

#include "core/json.h"

namespace dbsp {
namespace {

TEST(TerminalTextTest, PlainTextIsUnchanged) {
  for (const std::string text : {"", "plan.json: 3 cells", "Größe 大小 🙂 \\n", "a\u0301"}) {
    EXPECT_EQ(TerminalLine(text), text);
    EXPECT_EQ(TerminalText(text), text);
  }
}

TEST(TerminalTextTest, EscapeSequencesAndForgedLinesBecomeText) {
  EXPECT_EQ(TerminalLine("x\x1b]0;pwned\x07\x1b[31m\nhash    deadbeef\r\t\x7f"),
            "x\\u001b]0;pwned\\u0007\\u001b[31m\\nhash    deadbeef\\r\\t\\u007f");
  EXPECT_EQ(TerminalText("a\nb\x1b\n"), "a\nb\\u001b\n");
  EXPECT_EQ(TerminalLine(std::string_view("\0", 1)), "\\u0000");
}

TEST(TerminalTextTest, ControlAndFormattingCharactersBeyondAsciiAreEscaped) {
  EXPECT_EQ(TerminalLine("\u009b31m"), "\\u009b31m");  // C1: the one-character form of ESC [
  EXPECT_EQ(TerminalLine("a\u202eb\u2066c\u200f"), "a\\u202eb\\u2066c\\u200f");
  EXPECT_EQ(TerminalLine("a\u2028b\u2029c\u0085"), "a\\u2028b\\u2029c\\u0085");
  EXPECT_EQ(TerminalLine("a\u200bb\ufeff\u00ad\u061c"), "a\\u200bb\\ufeff\\u00ad\\u061c");
  EXPECT_EQ(TerminalLine("\U000e0041"), "\\udb40\\udc41");
}

TEST(TerminalTextTest, BytesThatAreNotUtf8AreShownAsNumbers) {
  EXPECT_EQ(TerminalLine("a\x9b\x80z"), "a\\x9b\\x80z");
  EXPECT_EQ(TerminalLine("\xff\xfe"), "\\xff\\xfe");
  EXPECT_EQ(TerminalLine("\xc0\x8a"), "\\xc0\\x8a");  // an overlong line feed
  EXPECT_EQ(TerminalLine("\xe0\x80\x8a"), "\\xe0\\x80\\x8a");
  EXPECT_EQ(TerminalLine("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // a surrogate
  EXPECT_EQ(TerminalLine("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");
  EXPECT_EQ(TerminalLine("ok\xe2\x82"), "ok\\xe2\\x82");  // cut off
}

TEST(TerminalTextTest, AnEscapedJsonDocumentHasTheSameValues) {
  const Json json = {{"name", "a\u202eb\x1b[0m\n\x7f\U000e0041"}, {"n", 1}};
  const std::string shown = TerminalText(DumpJson(json, 1));
  EXPECT_EQ(shown.find("\u202e"), std::string::npos);
  EXPECT_EQ(ParseJson(shown, "shown"), json);
  EXPECT_EQ(TerminalText(shown), shown);
}

}  // namespace
}  // namespace dbsp
