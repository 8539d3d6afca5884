// SPDX-License-Identifier: Apache-2.0
#include "core/arrays/csv.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/file.h"
#include "tests/core/expect_error.h"
#include "tests/core/temporary_folder.h"
#include "tests/measured_data.h"

namespace dbsp {
namespace {

using testing::ExpectError;

class CsvTest : public ::testing::Test {
 protected:
  std::filesystem::path Write(const std::string& text) {
    WriteFileAtomically(folder_ / "x.csv", text);
    return folder_ / "x.csv";
  }
  void ExpectProfileError(const std::string& rows, const std::vector<std::string>& words) {
    SCOPED_TRACE(rows);
    const auto path = Write("Step,Layer,Head,Sparsity\n" + rows);
    ExpectError(ErrorCode::kCorruptInput, words, [&] { static_cast<void>(ReadSparsityCsv(path)); });
  }
  testing::TemporaryFolder folder_;
};

TEST_F(CsvTest, ProfileRowsMayComeInAnyOrder) {
  const auto path = Write("Step,Layer,Head,Sparsity\r\n1,0,1,0.25\r\n2,0,0,1\n1,0,0,0\n2,0,1,5e-1");
  const Array array = ReadSparsityCsv(path);
  EXPECT_TRUE(IsSparsityCsv(path));
  EXPECT_EQ(array.shape, (std::vector<std::int64_t>{2, 1, 2}));
  EXPECT_EQ(array.Double(0), 0);
  EXPECT_EQ(array.Double(1), 0.25);
  EXPECT_EQ(array.Double(2), 1);
  EXPECT_EQ(array.Double(3), 0.5);
}

TEST_F(CsvTest, ProfileErrorsNameLineAndColumn) {
  ExpectProfileError("1,0,0,x\n", {"x.csv", "line 2, column 4", "'x'"});
  ExpectProfileError("1,0,0,nan\n", {"line 2, column 4"});
  ExpectProfileError("1,0,0,1.5\n", {"line 2, column 4", "0 to 1"});
  ExpectProfileError("1,0,0\n", {"line 2, column 4", "expected 4 columns, found 3"});
  ExpectProfileError("1,0,0,0,0\n", {"line 2, column 5"});
  ExpectProfileError("0,0,0,0\n", {"line 2, column 1", "Step"});
  ExpectProfileError("1,0.5,0,0\n", {"line 2, column 2", "Layer"});
  ExpectProfileError("1,0,-1,0\n", {"line 2, column 3", "Head"});
  ExpectProfileError("1,0,0,0\n1,0,0,0\n", {"line 3", "twice"});
  ExpectProfileError("1,0,0,0\n\n2,0,1,0\n", {"line 4", "needs 4 rows, found 2"});
  ExpectProfileError("1000000,1000000,1000000,0\n", {"line 2", "found 1"});
  ExpectProfileError("", {"line 1"});
  const auto path = Write("Step,Head\n");
  ExpectError(ErrorCode::kCorruptInput, {"line 1", "Step,Layer,Head,Sparsity"}, [&] {
    static_cast<void>(ReadSparsityCsv(path));
  });
}

TEST_F(CsvTest, TablesOfNumbersAreReadWithOrWithoutHeading) {
  for (const char* text : {"a,b\n1,2\n3,4\n", "1, 2\n3,4"}) {
    const Array array = ReadNumericCsv(Write(text));
    EXPECT_EQ(array.shape, (std::vector<std::int64_t>{2, 2}));
    EXPECT_EQ(array.Double(3), 4);
  }
  for (const char* text : {"", "a,b\n", "1,2\n3\n", "1,2\n3,\n", "1\ninf\n"}) {
    const auto path = Write(text);
    ExpectError(ErrorCode::kCorruptInput, {"x.csv", "line ", "column "}, [&] {
      static_cast<void>(ReadNumericCsv(path));
    });
  }
}

TEST_F(CsvTest, MeasuredProfilesHaveTheShapesAndMeansTheirReadmeStates) {
  struct Profile {
    const char* name;
    std::vector<std::int64_t> shape;
    double mean;
  };
  const testing::TemporaryFolder folder;
  for (const Profile& profile : {Profile{"wan_14B_t2v", {50, 40, 40}, 0.247},
                                 Profile{"wan22_A14B_t2v", {40, 40, 40}, 0.243},
                                 Profile{"wan_1.3B_t2v", {50, 30, 12}, 0.144},
                                 Profile{"hunyuan10_13B_t2v", {50, 60, 24}, 0.155}}) {
    const Array array = ReadSparsityCsv(testing::WriteSvooCsv(profile.name, folder.path()));
    EXPECT_EQ(array.shape, profile.shape);
    double sum = 0;
    for (std::int64_t i = 0; i < array.size(); ++i) sum += array.Double(i);
    EXPECT_NEAR(sum / static_cast<double>(array.size()), profile.mean, 0.0005);
  }
}

}  // namespace
}  // namespace dbsp
