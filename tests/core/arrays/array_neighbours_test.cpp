// SPDX-License-Identifier: Apache-2.0
// An array is read whatever else its file holds, and names cover every key of a dict.
#include <gtest/gtest.h>

#include "core/arrays/array.h"
#include "core/error.h"
#include "core/file.h"
#include "tests/core/expect_error.h"
#include "tests/core/file_bytes.h"
#include "tests/core/temporary_folder.h"

namespace dbsp {
namespace {

using namespace dbsp::testing;  // NOLINT: the writers of file_bytes.h, used in every line

const std::string kBits("\0\1\1\0", 4);

std::string Mask() { return Pickled({"BoolStorage", "0", 4, 0, {2, 2}, {2, 1}}); }

/// A tensor whose storage class dbsp does not read.
std::string Foreign(const std::string& storage_class) {
  return Pickled({storage_class, "1", 4, 0, {4}, {1}});
}

class ArrayNeighboursTest : public ::testing::Test {
 protected:
  std::filesystem::path Write(const std::string& name, const std::string& bytes) {
    WriteFileAtomically(folder_ / name, bytes);
    return folder_ / name;
  }
  std::filesystem::path Torch(const std::string& object) {
    return Write("m.pt", MakeTorch(Pickle(object), {{"0", kBits}, {"1", std::string(64, '\0')}}));
  }
  /// The array `name` of a dict with the mask and one more entry.
  Array Beside(const std::string& other) {
    return LoadArray(
        Torch("}(" + PickleString("mask") + Mask() + PickleString("other") + other + "u"), "mask");
  }
  TemporaryFolder folder_;
};

TEST_F(ArrayNeighboursTest, NpzMembersOfOtherTypesDoNotHideAnArray) {
  const std::string mask = MakeNpy(NpyHeader("|b1", "(2, 2)"), kBits);
  for (const char* descr : {"|O", "<U3", "<c8", "<u4", "|S3", "<f16", "<M8[D]", "|V2"}) {
    SCOPED_TRACE(descr);
    const auto path =
        Write("m.npz",
              MakeZip({{"a.npy", MakeNpy(NpyHeader(descr, "(2,)"), std::string(64, '\0'))},
                       {"mask.npy", mask}}));
    EXPECT_EQ(LoadArray(path, "mask").bytes, kBits);
    EXPECT_EQ(LoadArray(path).bytes, kBits);  // the only one that can be read
    ExpectError(ErrorCode::kCorruptInput, {"m.npz", "'a'", descr, "uint8"}, [&] {
      static_cast<void>(LoadArray(path, "a"));
    });
  }
  const auto damaged = Write("m.npz", MakeZip({{"a.npy", "no array"}, {"mask.npy", mask}}));
  EXPECT_EQ(LoadArray(damaged, "mask").bytes, kBits);
}

TEST_F(ArrayNeighboursTest, ObjectsOfACheckpointDoNotHideATensor) {
  const std::string call = "c__main__\nConfig\n)R";
  const std::string object = "c__main__\nConfig\n)\x81}(" + PickleString("a") + Mask() + "ub";
  const std::string with_keywords = "\x80\x04" + std::string("c__main__\nConfig\n)}\x92");
  const std::string items = "c__main__\nList\n)R(" + PickleInt(1) + "e";
  const std::string pairs = "c__main__\nDict\n)R(" + PickleInt(1) + PickleInt(2) + "u";
  const std::string seed = "\x8a\x09" + std::string(9, '\1');
  for (const std::string& other :
       {call,
        object,
        with_keywords,
        items,
        pairs,
        seed,
        std::string("\x8f("),
        Foreign("ComplexFloatStorage"),
        Foreign("QInt8Storage"),
        "ctorch._utils\n_rebuild_parameter\n(" + Foreign("QInt8Storage") + "\x88}tR",
        std::string("cnumpy._core.multiarray\n_reconstruct\n)R"),
        std::string("cos\nsystem\n") + PickleString("true") + "\x85R"}) {
    SCOPED_TRACE(other.substr(0, 40));
    const std::string entry =
        other == std::string("\x8f(") ? "\x8f(" + PickleInt(1) + "\x90" : other;
    EXPECT_EQ(Beside(entry).bytes, kBits);
    EXPECT_EQ(LoadArray(folder_ / "m.pt").bytes, kBits);
  }
  ExpectError(ErrorCode::kCorruptInput, {"m.pt", "'other'", "os.system"}, [&] {
    static_cast<void>(LoadArray(folder_ / "m.pt", "other"));
  });
}

TEST_F(ArrayNeighboursTest, TensorsWithAttributesAndDefaultDictsAreRead) {
  const std::string call = Mask().substr(0, Mask().size() - 1);  // without REDUCE: function, args
  const auto path =
      Torch("ctorch._tensor\n_rebuild_from_type_v2\n(" + call.substr(0, call.find('(')) +
            "ctorch\nTensor\n" + call.substr(call.find('(')) + "}tR");
  EXPECT_EQ(LoadArray(path).bytes, kBits);
  const auto nested = Torch("ccollections\ndefaultdict\n(cbuiltins\nlist\ntR" +
                            PickleString("mask") + Mask() + "s");
  EXPECT_EQ(LoadArray(nested, "mask").bytes, kBits);
  // A class function as the function of another one would recurse.
  const std::string function = "ctorch._tensor\n_rebuild_from_type_v2\n";
  ExpectError(ErrorCode::kCorruptInput, {"as torch does"}, [&] {
    static_cast<void>(LoadArray(Torch(function + "(" + function + "N)}tR")));
  });
}

TEST_F(ArrayNeighboursTest, SafetensorsOfOtherTypesDoNotHideATensor) {
  for (const char* type : {"F8_E4M3", "U16", "C64", "F4"}) {
    const auto path =
        Write("m.safetensors",
              MakeSafetensors(std::string(R"({"a":{"dtype":")") + type +
                                  R"(","shape":[4],"data_offsets":[4,8]},)" +
                                  R"("mask":{"dtype":"BOOL","shape":[2,2],"data_offsets":[0,4]}})",
                              kBits + "1234"));
    EXPECT_EQ(LoadArray(path, "mask").bytes, kBits);
    ExpectError(
        ErrorCode::kCorruptInput, {type, "BOOL"}, [&] { static_cast<void>(LoadArray(path, "a")); });
  }
}

TEST_F(ArrayNeighboursTest, OverlappingTensorsDoNotHideAnother) {
  const auto entry = [](const char* name, int begin) {
    return fmt::format(
        R"("{}":{{"dtype":"U8","shape":[4],"data_offsets":[{},{}]}})", name, begin, begin + 4);
  };
  const auto path = Write(
      "o.safetensors",
      MakeSafetensors("{" + entry("a", 4) + "," + entry("b", 6) + "," + entry("mask", 0) + "}",
                      kBits + "123456"));
  EXPECT_EQ(LoadArray(path, "mask").bytes, kBits);
  for (const char* name : {"a", "b"}) {
    ExpectError(ErrorCode::kCorruptInput, {"'a' and 'b' overlap"}, [&] {
      static_cast<void>(LoadArray(path, name));
    });
  }
}

TEST_F(ArrayNeighboursTest, ABlockMaskObjectIsRefusedSayingWhatToSave) {
  const auto path = Torch("ctorch.nn.attention.flex_attention\nBlockMask\n)\x81}b");
  ExpectError(ErrorCode::kCorruptInput, {"BlockMask", "'kv_num_blocks': m.kv_num_blocks"}, [&] {
    static_cast<void>(LoadArray(path));
  });
  const auto sparse = Torch("ctorch._utils\n_rebuild_sparse_csr_tensor\n)R");
  ExpectError(
      ErrorCode::kCorruptInput, {"to_dense()"}, [&] { static_cast<void>(LoadArray(sparse)); });
}

TEST_F(ArrayNeighboursTest, KeysOfEveryKindNameTheirTensors) {
  const std::string dict = "}(" + PickleTuple({0, 1}) + Mask() + "(" + PickleString("a") +
                           PickleInt(7) + "t" + Mask() + PickleInt(-2) + Mask() + "N" + Mask() +
                           "(N" + PickleInt(1) + "t" + Mask() + "u";
  std::vector<std::string> names;
  for (const ArrayInfo& info : ListArrays(Torch(dict))) names.push_back(info.name);
  EXPECT_EQ(names, (std::vector<std::string>{"0.1", "a.7", "-2", "#3", "#4"}));
  EXPECT_EQ(LoadArray(folder_ / "m.pt", "0.1").bytes, kBits);

  const auto twice =
      Torch("}(" + PickleTuple({0, 1}) + Mask() + PickleString("0.1") + Mask() + "u");
  ExpectError(ErrorCode::kCorruptInput, {"'0.1'", "several"}, [&] {
    static_cast<void>(LoadArray(twice, "0.1"));
  });
}

TEST_F(ArrayNeighboursTest, SuffixesInCapitalsAreTheSame) {
  const std::string npy = MakeNpy(NpyHeader("|b1", "(2, 2)"), kBits);
  for (const auto& path :
       {Write("a.NPY", npy),
        Write("b.Npz", MakeZip({{"mask.npy", npy}})),
        Write("c.PT", MakeTorch(Pickle(Mask()), {{"0", kBits}})),
        Write("d.SafeTensors",
              MakeSafetensors(R"({"m":{"dtype":"BOOL","shape":[2,2],"data_offsets":[0,4]}})",
                              kBits))}) {
    EXPECT_EQ(LoadArray(path).bytes, kBits) << path;
  }
}

TEST_F(ArrayNeighboursTest, WrittenSafetensorsComeBack) {
  Array mask = MakeArray(ArrayType::kB1, {2, 2});
  mask.bytes = kBits;
  Array halves = MakeArray(ArrayType::kBf16, {3});
  halves.bytes = "123456";
  WriteSafetensors(folder_ / "w.safetensors",
                   {{"mask", mask}, {"empty", MakeArray(ArrayType::kI8, {0})}, {"halves", halves}});
  const Array back = LoadArray(folder_ / "w.safetensors", "mask");
  EXPECT_EQ(back.bytes, kBits);
  EXPECT_EQ(back.shape, mask.shape);
  EXPECT_EQ(back.type, ArrayType::kB1);
  EXPECT_EQ(LoadArray(folder_ / "w.safetensors", "halves").bytes, halves.bytes);
}

}  // namespace
}  // namespace dbsp
