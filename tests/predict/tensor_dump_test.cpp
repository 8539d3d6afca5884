// SPDX-License-Identifier: Apache-2.0
// Q and K in files as programs dump them: axes, names of steps and layers, types, and what is
// refused.
#include "predict/tensor_dump.h"

#include <gtest/gtest.h>

#include <bit>
#include <string>
#include <vector>

#include "core/file.h"
#include "tests/core/expect_error.h"
#include "tests/core/file_bytes.h"
#include "tests/core/temporary_folder.h"

namespace dbsp::predict {
namespace {

using Shape = std::vector<std::int64_t>;
using testing::ExpectError;
using testing::ZipPart;

/// An array whose element n is base + n.
ZipPart Floats(const std::string& name, const Shape& shape, float base = 0) {
  std::string text = "(";
  std::int64_t count = 1;
  for (const std::int64_t size : shape) {
    text += std::to_string(size) + ", ";
    count *= size;
  }
  std::string bytes;
  for (std::int64_t i = 0; i < count; ++i) {
    bytes += testing::LittleEndian(std::bit_cast<std::uint32_t>(base + static_cast<float>(i)), 4);
  }
  return {name + ".npy", testing::MakeNpy(testing::NpyHeader("<f4", text + ")"), bytes)};
}

class TensorDumpTest : public ::testing::Test {
 protected:
  TensorDump Open(const std::vector<ZipPart>& parts,
                  const DumpRequest& request = {},
                  TensorRole role = TensorRole::kQuery) {
    WriteFileAtomically(folder_ / "d.npz", testing::MakeZip(parts));
    return {folder_ / "d.npz", role, request};
  }
  void Refuse(ErrorCode code,
              const std::vector<ZipPart>& parts,
              const std::vector<std::string>& words,
              const DumpRequest& request = {}) {
    ExpectError(code, words, [&] { static_cast<void>(Open(parts, request)); });
  }
  testing::TemporaryFolder folder_;
};

DumpRequest Axes(const std::string& letters) {
  DumpRequest request;
  request.axes = letters;
  return request;
}

TEST_F(TensorDumpTest, AxesFollowFromSizes) {
  EXPECT_EQ(Open({Floats("q", {9, 4})}).letters(), "SD");
  EXPECT_EQ(Open({Floats("q", {3, 9, 4})}).letters(), "HSD");
  EXPECT_EQ(Open({Floats("q", {9, 3, 4})}).letters(), "SHD");
  EXPECT_EQ(Open({Floats("q", {1, 3, 9, 4})}).letters(), "BHSD");
  EXPECT_EQ(Open({Floats("q", {2, 5, 3, 9, 4})}).letters(), "TLHSD");
  EXPECT_EQ(Open({Floats("q", {2, 5, 1, 3, 9, 4})}).letters(), "TLBHSD");
  EXPECT_EQ(Open({Floats("q", {5, 1, 3, 9, 4})}).letters(), "TLHSD");
  DumpRequest layers;
  layers.layers = 5;
  EXPECT_EQ(Open({Floats("q", {5, 3, 9, 4})}, layers).letters(), "LHSD");
  EXPECT_EQ(Open({Floats("q", {5, 1, 3, 9, 4})}, layers).letters(), "LBHSD");
  DumpRequest known;
  known.heads = 9;
  EXPECT_EQ(Open({Floats("q", {9, 3, 4})}, known).letters(), "HSD");
  Refuse(ErrorCode::kInvalidArgument, {Floats("q", {9, 9, 4})}, {"heads and tokens", "--axes"});
  Refuse(ErrorCode::kInvalidArgument, {Floats("q", {5, 3, 9, 4})}, {"?HSD", "--axes"});
  Refuse(ErrorCode::kInvalidArgument, {Floats("q", {2, 2, 2, 3, 9, 4})}, {"--axes"});
  known.tokens = 4;
  Refuse(ErrorCode::kMismatch, {Floats("q", {9, 3, 4})}, {"9 heads and 4 tokens"}, known);
  for (const char* wrong : {"HSD", "XTHSD", "TTHSD", "TLHDS", "HLTSD", "TLHSDD", ""}) {
    Refuse(ErrorCode::kInvalidArgument, {Floats("q", {2, 5, 3, 9, 4})}, {"--axes"}, Axes(wrong));
  }
}

TEST_F(TensorDumpTest, HeadsAreFoundInEveryOrderOfAxes) {
  // Element n of the file is n: the value tells its place.
  const auto at = [](const std::vector<float>& head, int s, int d) { return head[s * 4 + d]; };
  const TensorDump tlhsd = Open({Floats("q", {2, 5, 3, 9, 4})});
  EXPECT_EQ(at(tlhsd.Head(1, 4, 2), 8, 3), 2 * 5 * 3 * 9 * 4 - 1);
  EXPECT_EQ(at(tlhsd.Head(1, 2, 0), 3, 1), ((1 * 5 + 2) * 3 * 9 + 3) * 4 + 1);
  const TensorDump ltshd = Open({Floats("q", {5, 2, 9, 3, 4})}, Axes("LTSHD"));
  EXPECT_EQ(at(ltshd.Head(1, 2, 1), 3, 1), (((2 * 2 + 1) * 9 + 3) * 3 + 1) * 4 + 1);
  EXPECT_EQ(at(ltshd.Head(0, 2, 1), 3, 1), (((2 * 2 + 0) * 9 + 3) * 3 + 1) * 4 + 1);
  const TensorDump sd = Open({Floats("q", {9, 4})});
  EXPECT_EQ(at(sd.Head(0, 0, 0), 8, 3), 35);
  DumpRequest second = Axes("BHSD");
  second.batch = 1;
  EXPECT_EQ(at(Open({Floats("q", {2, 3, 9, 4})}, second).Head(0, 0, 0), 0, 0), 3 * 9 * 4);
  Refuse(ErrorCode::kInvalidArgument,
         {Floats("q", {2, 3, 9, 4})},
         {"axis B", "--batch"},
         Axes("BHSD"));
  second.batch = 2;
  Refuse(ErrorCode::kInvalidArgument,
         {Floats("q", {2, 3, 9, 4})},
         {"--batch 2", "less than 2"},
         second);
}

TEST_F(TensorDumpTest, NamesNumberStepsAndLayers) {
  const Shape shape{1, 3, 9, 4};
  std::vector<ZipPart> parts;
  for (const int step : {0, 10}) {
    for (const int layer : {0, 1, 2}) {
      const std::string name = fmt::format("step{}.layer{}.", step, layer);
      parts.push_back(Floats(name + "q", shape, static_cast<float>(1000 * step + 100 * layer)));
      parts.push_back(Floats(name + "k", shape, 7));
    }
  }
  const TensorDump q = Open(parts);
  EXPECT_EQ(q.letters(), "TLBHSD");
  EXPECT_EQ(q.steps(), (Shape{0, 10}));
  EXPECT_EQ(q.Head(1, 2, 0)[0], 10200);
  EXPECT_EQ(Open(parts, {}, TensorRole::kKey).Head(1, 2, 0)[0], 7);
  // Layers first, and numbers without words.
  EXPECT_EQ(
      Open({Floats("blocks.0.t.0", {3, 9, 4}), Floats("blocks.1.t.0", {3, 9, 4}, 5)}).letters(),
      "LHSD");
  EXPECT_EQ(Open({Floats("0.0", {3, 9, 4}),
                  Floats("0.1", {3, 9, 4}),
                  Floats("1.0", {3, 9, 4}),
                  Floats("1.1", {3, 9, 4}, 5)})
                .letters(),
            "TLHSD");
  Refuse(ErrorCode::kInvalidArgument,
         {Floats("layer0.q", shape), Floats("layer2.q", shape)},
         {"layer*.q", "0, 2", "every number from 0"});
  Refuse(ErrorCode::kInvalidArgument,
         {Floats("step5.q", shape), Floats("step9.q", shape)},
         {"step*.q", "5, 9", "steps from 0"});
  parts.erase(parts.begin());
  Refuse(ErrorCode::kInvalidArgument, parts, {"step*.layer*.q", "5 arrays, expected 6"});
}

TEST_F(TensorDumpTest, ArraysAreChosenByNameOrRefused) {
  const std::vector<ZipPart> two{Floats("a", {3, 9, 4}), Floats("b", {3, 9, 4}, 50)};
  Refuse(ErrorCode::kInvalidArgument, two, {"--q-name", "a, b"});
  DumpRequest b;
  b.name = "b";
  EXPECT_EQ(Open(two, b).Head(0, 0, 0)[0], 50);
  b.name = "c";
  Refuse(ErrorCode::kNotFound, two, {"--q-name", "'c'"}, b);
  Refuse(ErrorCode::kMismatch,
         {Floats("layer0.q", {3, 9, 4}), Floats("layer1.q", {3, 8, 4})},
         {"'layer1.q'", "[3, 8, 4]", "equal types and shapes"});
  Refuse(ErrorCode::kInvalidArgument, {Floats("q", {0, 9, 4})}, {"empty"});
}

TEST_F(TensorDumpTest, ElementsThatAreNotFiniteAreRefusedWithTheirPlace) {
  for (const std::uint32_t bits : {0x7fc00000U, 0x7f800000U, 0xff800000U}) {
    ZipPart part = Floats("q", {2, 3, 4});
    const std::string element = testing::LittleEndian(bits, 4);
    part.bytes.replace(part.bytes.size() - 4 * 5, 4, element);  // head 1, token 1, channel 3
    const TensorDump dump = Open({part});
    EXPECT_EQ(dump.Head(0, 0, 0).size(), 12U);
    ExpectError(ErrorCode::kCorruptInput, {"'q'", "head 1", "token 1", "channel 3", "finite"}, [&] {
      static_cast<void>(dump.Head(0, 0, 1));
    });
  }
}

}  // namespace
}  // namespace dbsp::predict
