// SPDX-License-Identifier: Apache-2.0
#include "core/arrays/csv.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/core/expect_error.h"

namespace dbsp {
namespace {

using testing::ExpectError;

constexpr const char* kAll = "a, b";

/// The columns a and b of every record, as "line:a,b" joined by spaces.
std::string Read(std::string_view text) {
  CsvReader reader(text, "x.csv");
  const std::size_t a = reader.Column("a", kAll);
  const std::size_t b = reader.Column("B", kAll);
  std::string found;
  while (reader.Next()) {
    found += fmt::format("{}{}:{},{}",
                         found.empty() ? "" : " ",
                         reader.line(),
                         reader.Int(a, 0, 100),
                         reader.Number(b, 0, 1));
  }
  return found;
}

void ExpectRefused(std::string_view text, const std::vector<std::string>& words) {
  SCOPED_TRACE(text);
  ExpectError(ErrorCode::kCorruptInput, words, [&] { static_cast<void>(Read(text)); });
}

TEST(CsvTest, ColumnsAreFoundByNameInAnyOrderAndCase) {
  EXPECT_EQ(Read("a,b\n1,0.5\n2,1\n"), "2:1,0.5 3:2,1");
  EXPECT_EQ(Read("B,other,A\n.5,text,1\n1,,2"), "2:1,0.5 3:2,1");
}

TEST(CsvTest, SpreadsheetsAndOtherSystemsWriteWhatIsAccepted) {
  EXPECT_EQ(Read("\xef\xbb\xbf"
                 "a,b\r\n1,0.5\r\n"),
            "2:1,0.5");
  EXPECT_EQ(Read("a,b\r1,0.5\r2,1"), "2:1,0.5 3:2,1");
  EXPECT_EQ(Read("\n\na,b\n\n1,0.5\n  \n,\n2,1\n\n"), "5:1,0.5 8:2,1");
  EXPECT_EQ(Read("\"a\",\"b\"\n\"1\", \"0.5\" \n"), "2:1,0.5");
  EXPECT_EQ(Read("a,\"x, \"\"y\"\"\",b\n1,\"two\nlines, \"\"\",0.5\n2,,1\n"), "2:1,0.5 4:2,1");
  EXPECT_EQ(Read(" a , b \n 1 ,\t0.5\n"), "2:1,0.5");
  EXPECT_EQ(Read("a,b,\n1,0.5,\n"), "2:1,0.5");
  EXPECT_EQ(Read("a,b\n1.0,5e-1\n"), "2:1,0.5");
  EXPECT_EQ(Read("a,b\n"), "");
}

TEST(CsvTest, ErrorsNameLineAndColumn) {
  ExpectRefused("", {"x.csv", "line 1, column 1"});
  ExpectRefused(
      "\xff\xfe"
      "a",
      {"line 1", "UTF-16"});
  ExpectRefused("a,c\n", {"line 1, column 2", "no column 'B'", "a, b in any order", "'a,c'"});
  ExpectRefused("1,0.5\n", {"line 1", "no column 'a'"});
  ExpectRefused("a;b\n1;2\n", {"line 1", "'a;b'"});
  ExpectRefused("a,b,A\n", {"line 1, column 3", "column 1"});
  ExpectRefused("a,b\n1,x\n", {"line 2, column 2 (b)", "a number from 0 to 1", "'x'"});
  ExpectRefused("a,b\n1,nan\n", {"line 2, column 2"});
  ExpectRefused("a,b\n1,inf\n", {"line 2, column 2"});
  ExpectRefused("a,b\n1,1.5\n", {"line 2, column 2"});
  ExpectRefused("a,b\n1,\n", {"line 2, column 2"});
  ExpectRefused("a,b\n\n0.5,1\n", {"line 3, column 1 (a)", "an integer from 0 to 100", "'0.5'"});
  ExpectRefused("a,b\n-1,1\n", {"line 2, column 1"});
  ExpectRefused("a,b\n2147483647,1\n", {"line 2, column 1"});
  ExpectRefused("a,b\n99999999999999999999,1\n", {"line 2, column 1"});
  ExpectRefused("a,b\n1e300,1\n", {"line 2, column 1"});
  ExpectRefused("a,b\n1\n", {"line 2, column 2", "expected 2 columns, found 1"});
  ExpectRefused("a,b\n1,1,1\n", {"line 2, column 3", "expected 2 columns, found 3"});
  ExpectRefused("a,b\n1,\"0.5\n", {"line 2, column 2 (b)", "closing quote"});
  ExpectRefused("a,b\n1,\"0.5\"x\n", {"line 2, column 2", "'0.5x'"});
  ExpectRefused(std::string_view("a,b\n1,0.5\0\n", 11), {"line 2, column 2"});
}

}  // namespace
}  // namespace dbsp
