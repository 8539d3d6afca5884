// SPDX-License-Identifier: Apache-2.0
#include "core/arrays/array.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <random>
#include <thread>

#include "core/error.h"
#include "core/file.h"
#include "tests/core/expect_error.h"
#include "tests/core/file_bytes.h"
#include "tests/core/temporary_folder.h"
#include "tests/measured_data.h"
#include "tests/shared_data.h"

namespace dbsp {
namespace {

using namespace dbsp::testing;  // NOLINT: the writers of file_bytes.h, used in every line

std::vector<double> Doubles(const Array& array) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < array.size(); ++i) values.push_back(array.Double(i));
  return values;
}

template <typename T>
std::string Bytes(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

class ArrayTest : public ::testing::Test {
 protected:
  std::filesystem::path Write(const std::string& name, const std::string& bytes) {
    WriteFileAtomically(folder_ / name, bytes);
    return folder_ / name;
  }
  Array Load(const std::string& name, const std::string& bytes, const std::string& array = {}) {
    return LoadArray(Write(name, bytes), array);
  }
  TemporaryFolder folder_;
};

TEST_F(ArrayTest, EveryNpyTypeIsReadInBothByteOrders) {
  struct Case {
    const char* descr;
    std::string bytes;
    std::vector<double> values;
  };
  const Case cases[] = {
      {"|b1", std::string("\0\1\1", 3), {0, 1, 1}},
      {"|u1", std::string("\0\x7f\xff", 3), {0, 127, 255}},
      {"|i1", std::string("\0\x7f\xff", 3), {0, 127, -1}},
      {"<i2", std::string("\xfe\xff\x00\x01", 4), {-2, 256}},
      {">i2", std::string("\xff\xfe\x01\x00", 4), {-2, 256}},
      {"<i4", std::string("\xfe\xff\xff\xff\x00\x00\x01\x00", 8), {-2, 65536}},
      {">i4", std::string("\xff\xff\xff\xfe\x00\x01\x00\x00", 8), {-2, 65536}},
      {"<i8", std::string("\xfe\xff\xff\xff\xff\xff\xff\xff", 8), {-2}},
      {">i8", std::string("\x00\x00\x00\x01\x00\x00\x00\x00", 8), {4294967296.0}},
      {"<f2", std::string("\x00\x3c\x00\xc0\x01\x00\x00\x80", 8), {1, -2, 0x1p-24, 0}},
      {">f2", std::string("\x3c\x00\x7b\xff", 4), {1, 65504}},
      {"<f4", std::string("\x00\x00\xc0\x3f", 4), {1.5}},
      {">f4", std::string("\x3f\xc0\x00\x00", 4), {1.5}},
      {"<f8", std::string("\x00\x00\x00\x00\x00\x00\xf8\xbf", 8), {-1.5}},
      {">f8", std::string("\xbf\xf8\x00\x00\x00\x00\x00\x00", 8), {-1.5}}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.descr);
    const std::string shape = "(" + std::to_string(c.values.size()) + ",)";
    for (int version = 1; version <= 3; ++version) {
      EXPECT_EQ(Doubles(Load("a.npy", MakeNpy(NpyHeader(c.descr, shape), c.bytes, version))),
                c.values);
    }
  }
}

TEST_F(ArrayTest, FortranOrderIsTurnedRound) {
  // Columns first: element (i, j) of [2, 3] lies at i + 2 j.
  const std::string npy = MakeNpy(NpyHeader("|u1", "(2, 3)", true), {"\0\1\2\3\4\5", 6});
  const ArrayFile file(Write("f.npy", npy), "");
  EXPECT_EQ(Doubles(file.Slice()), (std::vector<double>{0, 2, 4, 1, 3, 5}));
  const std::int64_t row = 1;
  EXPECT_EQ(Doubles(file.Slice({&row, 1})), (std::vector<double>{1, 3, 5}));
  EXPECT_EQ(Doubles(file.Range(1, 2)), (std::vector<double>{1, 3, 5}));
}

TEST_F(ArrayTest, ScalarsAndEmptyArraysAreRead) {
  EXPECT_EQ(Doubles(Load("s.npy", MakeNpy(NpyHeader("|u1", "()"), "\x05"))),
            std::vector<double>{5});
  const Array empty = Load("e.npy", MakeNpy(NpyHeader("<f4", "(3, 0, 2)"), ""));
  EXPECT_EQ(empty.size(), 0);
  EXPECT_EQ(empty.shape, (std::vector<std::int64_t>{3, 0, 2}));
}

TEST_F(ArrayTest, NonZeroTreatsMinusZeroAsZeroInEveryFloat) {
  const Array half = Load("h.npy", MakeNpy(NpyHeader("<f2", "(2,)"), {"\x00\x80\x01\x80", 4}));
  EXPECT_FALSE(half.Bool(0));
  EXPECT_TRUE(half.Bool(1));
  const Array wide = Load("d.npy", MakeNpy(NpyHeader("<f8", "(2,)"), Bytes<double>({-0.0, 5})));
  EXPECT_FALSE(wide.Bool(0));
  EXPECT_TRUE(wide.Bool(1));
  EXPECT_EQ(wide.Int(1), 5);
  ExpectError(ErrorCode::kCorruptInput, {"1.5"}, [] {
    static_cast<void>(Array{ArrayType::kF8, {1}, Bytes<double>({1.5})}.Int(0));
  });
}

TEST_F(ArrayTest, NpzMembersAreFoundStoredDeflatedAndZip64) {
  const std::vector<ZipPart> parts = {
      {"mask.npy", MakeNpy(NpyHeader("|b1", "(2, 2)"), {"\1\0\0\1", 4})},
      {"counts.npy", MakeNpy(NpyHeader("<i4", "(2,)"), Bytes<std::int32_t>({7, -7}))},
      {"readme.txt", "not an array"}};
  for (const ZipKind kind : {ZipKind::kStored, ZipKind::kDeflated, ZipKind::kZip64}) {
    const auto path = Write("a.npz", MakeZip(parts, kind));
    const auto infos = ListArrays(path);
    ASSERT_EQ(infos.size(), 2U);
    EXPECT_EQ(infos[0].name, "mask");
    EXPECT_EQ(infos[1].type, ArrayType::kI4);
    EXPECT_EQ(Doubles(LoadArray(path, "mask")), (std::vector<double>{1, 0, 0, 1}));
    EXPECT_EQ(Doubles(LoadArray(path, "counts")), (std::vector<double>{7, -7}));
    ExpectError(ErrorCode::kNotFound, {"a.npz", "'masks'", "nearest known: 'mask'", "counts"}, [&] {
      static_cast<void>(LoadArray(path, "masks"));
    });
    ExpectError(
        ErrorCode::kInvalidArgument, {"mask, counts"}, [&] { static_cast<void>(LoadArray(path)); });
  }
}

TEST_F(ArrayTest, SlicesOfEveryFormatEqualTheWholeArraysParts) {
  constexpr std::int64_t kCount = 40'000 * 4;  // beyond what a header read of a member inflates
  std::vector<std::int32_t> values(kCount);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::int32_t>(i);
  const std::string data = Bytes(values);
  const std::string npy = MakeNpy(NpyHeader("<i4", "(4, 400, 100)"), data);
  const std::string pickle =
      Pickle(Pickled({"IntStorage", "0", kCount, 0, {4, 400, 100}, {40'000, 100, 1}}));
  const std::string json = R"({"m":{"dtype":"I32","shape":[4,400,100],"data_offsets":[0,640000]}})";
  const std::filesystem::path paths[] = {
      Write("a.npy", npy),
      Write("stored.npz", MakeZip({{"m.npy", npy}})),
      Write("deflated.npz", MakeZip({{"m.npy", npy}}, ZipKind::kDeflated)),
      Write("a.pt", MakeTorch(pickle, {{"0", data}})),
      Write("a.safetensors", MakeSafetensors(json, data))};
  for (const auto& path : paths) {
    SCOPED_TRACE(path.filename());
    const ArrayFile file(path, "");
    EXPECT_EQ(file.Slice().bytes, data);
    // Several threads, backwards and forwards: members of archives share one handle.
    std::vector<std::thread> threads;
    std::vector<int> bad(3, 0);
    for (std::size_t t = 0; t < bad.size(); ++t) {
      threads.emplace_back([&, t] {
        for (std::int64_t i = 0; i < 4; ++i) {
          const std::int64_t index[] = {t % 2 == 0 ? i : 3 - i, 399 - i};
          const Array slice = file.Slice(index);
          bad[t] += slice.Int(7) != index[0] * 40'000 + index[1] * 100 + 7 ? 1 : 0;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(bad, std::vector<int>(3, 0));
    EXPECT_EQ(file.Range(1, 3).bytes, data.substr(160'000, 320'000));
    const std::int64_t outside = 4;
    ExpectError(ErrorCode::kInvalidArgument, {"outside shape [4, 400, 100]"}, [&] {
      static_cast<void>(file.Slice({&outside, 1}));
    });
  }
}

TEST_F(ArrayTest, TorchViewsHonourOffsetsAndStrides) {
  const std::string data("\0\1\2\3\4\5\6\7", 8);
  const auto load = [&](const PickleTensor& tensor) {
    return Doubles(Load("v.pt", MakeTorch(Pickle(Pickled(tensor)), {{"0", data}})));
  };
  EXPECT_EQ(load({"ByteStorage", "0", 8, 2, {3}, {1}}), (std::vector<double>{2, 3, 4}));
  EXPECT_EQ(load({"ByteStorage", "0", 8, 1, {3, 2}, {1, 3}}),
            (std::vector<double>{1, 4, 2, 5, 3, 6}));
  EXPECT_EQ(load({"ByteStorage", "0", 8, 3, {2, 3}, {0, 1}}),
            (std::vector<double>{3, 4, 5, 3, 4, 5}));
}

TEST_F(ArrayTest, EveryTorchStorageAndByteOrderIsRead) {
  const std::pair<const char*, ArrayType> storages[] = {{"BoolStorage", ArrayType::kB1},
                                                        {"ByteStorage", ArrayType::kU1},
                                                        {"CharStorage", ArrayType::kI1},
                                                        {"ShortStorage", ArrayType::kI2},
                                                        {"IntStorage", ArrayType::kI4},
                                                        {"LongStorage", ArrayType::kI8},
                                                        {"HalfStorage", ArrayType::kF2},
                                                        {"BFloat16Storage", ArrayType::kBf16},
                                                        {"FloatStorage", ArrayType::kF4},
                                                        {"DoubleStorage", ArrayType::kF8}};
  for (const auto& [name, type] : storages) {
    const std::string zeros(static_cast<std::size_t>(2 * BytesOf(type)), '\0');
    const std::string pickle = Pickle(Pickled({name, "k", 2, 0, {2}, {1}}));
    const Array array = Load("s.pth", MakeTorch(pickle, {{"k", zeros}}));
    EXPECT_EQ(array.type, type);
    EXPECT_EQ(array.bytes, zeros);
  }
  const std::string pickle = Pickle(Pickled({"BFloat16Storage", "0", 1, 0, {1}, {1}}));
  EXPECT_EQ(Doubles(Load("l.pt", MakeTorch(pickle, {{"0", "\xc0\x3f"}}))), std::vector{1.5});
  EXPECT_EQ(Doubles(Load("b.pt", MakeTorch(pickle, {{"0", "\x3f\xc0"}}, "big"))), std::vector{1.5});
}

TEST_F(ArrayTest, NestedCheckpointsNameTensorsByPath) {
  const std::string tensor = Pickled({"ByteStorage", "0", 2, 0, {2}, {1}});
  const std::string object = "}(" + PickleString("sparse") + tensor + PickleString("a") + "}(" +
                             PickleString("b") + tensor + PickleString("steps") + "K\x05" + "u" +
                             PickleInt(3) + "](" + tensor + "N" + tensor + "e" + "u";
  const auto path = Write("n.pth", MakeTorch(Pickle(object), {{"0", "\1\2"}}));
  std::vector<std::string> names;
  for (const ArrayInfo& info : ListArrays(path)) names.push_back(info.name);
  EXPECT_EQ(names, (std::vector<std::string>{"sparse", "a.b", "3.0", "3.2"}));
  EXPECT_EQ(Doubles(LoadArray(path, "a.b")), (std::vector<double>{1, 2}));
}

TEST_F(ArrayTest, SafetensorsTypesAreRead) {
  const std::string json =
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]},)"
      R"("b":{"dtype":"BOOL","shape":[2],"data_offsets":[2,4]},)"
      R"("c":{"dtype":"F16","shape":[],"data_offsets":[4,6]}})";
  const auto path = Write("t.safetensors", MakeSafetensors(json, {"\xc0\x3f\x01\x00\x00\x3c", 6}));
  EXPECT_EQ(Doubles(LoadArray(path, "a")), std::vector{1.5});
  EXPECT_EQ(Doubles(LoadArray(path, "b")), (std::vector<double>{1, 0}));
  EXPECT_EQ(Doubles(LoadArray(path, "c")), std::vector{1.0});
}

TEST_F(ArrayTest, WrittenArraysComeBackAndEqualArraysGiveEqualFiles) {
  std::vector<std::pair<std::string, Array>> arrays;
  for (const ArrayType type : {ArrayType::kB1, ArrayType::kU1, ArrayType::kI4, ArrayType::kF4}) {
    for (const auto& shape : std::vector<std::vector<std::int64_t>>{{}, {0}, {5}, {3, 70, 90}}) {
      Array array = MakeArray(type, shape);
      for (std::size_t i = 0; i < array.bytes.size(); ++i) {
        array.bytes[i] = static_cast<char>(type == ArrayType::kB1 ? i % 2 : i % 120);
      }
      WriteNpy(folder_ / "w.npy", array);
      EXPECT_EQ(LoadArray(folder_ / "w.npy").bytes, array.bytes);
      EXPECT_EQ(LoadArray(folder_ / "w.npy").shape, shape);
      arrays.emplace_back(std::string(NameOf(type)) + ShapeText(shape), std::move(array));
    }
  }
  WriteNpz(folder_ / "1.npz", arrays);
  WriteNpz(folder_ / "2.npz", arrays);
  EXPECT_EQ(ReadFile(folder_ / "1.npz"), ReadFile(folder_ / "2.npz"));
  for (const auto& [name, array] : arrays) {
    const Array back = LoadArray(folder_ / "1.npz", name);
    EXPECT_EQ(back.bytes, array.bytes);
    EXPECT_EQ(back.shape, array.shape);
    EXPECT_EQ(back.type, array.type);
  }
}

TEST_F(ArrayTest, TheTextsOfASafetensorsFileAreRead) {
  const auto path = folder_ / "t.safetensors";
  const std::map<std::string, std::string> texts{{"grid", "2,4,8"}, {"empty", ""}};
  WriteSafetensors(path, {{"a", MakeArray(ArrayType::kU1, {3})}}, texts);
  EXPECT_EQ(SafetensorsMetadata(path), texts);
  EXPECT_EQ(LoadArray(path, "a").shape, std::vector<std::int64_t>{3});
  WriteSafetensors(path, {{"a", MakeArray(ArrayType::kU1, {3})}});
  EXPECT_TRUE(SafetensorsMetadata(path).empty());
  for (const char* wrong : {"[]", "\"text\"", "{\"grid\": 1}", "{\"grid\": null}"}) {
    const std::string header = std::string("{\"__metadata__\": ") + wrong + "}";
    WriteFileAtomically(path, LittleEndian(header.size(), 8) + header);
    ExpectError(ErrorCode::kCorruptInput, {"t.safetensors", "__metadata__"}, [&] {
      static_cast<void>(SafetensorsMetadata(path));
    });
  }
}

TEST_F(ArrayTest, MeasuredSpargeAttnCheckpointIsRead) {
  const auto path = MeasuredFile("spargeattn/CogVideoX-2b_0.06_0.07.pt");
  const auto infos = ListArrays(path);
  ASSERT_EQ(infos.size(), 150U);
  double sparse = 0;
  double first_layer = 0;
  for (const ArrayInfo& info : infos) {
    EXPECT_EQ(info.shape, std::vector<std::int64_t>{30});
    if (info.type != ArrayType::kB1) continue;
    const Array array = LoadArray(path, info.name);
    for (const double value : Doubles(array)) {
      sparse += value;
      first_layer += info.name.starts_with("transformer_blocks.0.") ? value : 0;
    }
  }
  EXPECT_EQ(first_layer, 9);
  EXPECT_NEAR(sparse / 900, 0.902, 0.0005);  // the README of the data states 90.2 %
}

TEST_F(ArrayTest, MeasuredBlockCountsAreRead) {
  const auto path = SharedData("wan14b_sparge_density/head_density_30x40x40.npy");
  if (path.empty()) GTEST_SKIP() << kNoSharedData;
  const Array array = LoadArray(path);
  EXPECT_EQ(array.type, ArrayType::kI4);
  EXPECT_EQ(array.shape, (std::vector<std::int64_t>{30, 40, 40}));
  for (std::int64_t i = 0; i < array.size(); ++i) {
    ASSERT_GE(array.Int(i), 0);
    ASSERT_LE(array.Int(i), 131072);
  }
}

}  // namespace
}  // namespace dbsp
