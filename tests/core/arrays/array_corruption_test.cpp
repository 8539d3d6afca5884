// SPDX-License-Identifier: Apache-2.0
// Damaged and hostile array files: an error, or an array, but never a crash or a flood of memory.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <random>

#include "core/arrays/array.h"
#include "core/error.h"
#include "core/file.h"
#include "tests/core/expect_error.h"
#include "tests/core/file_bytes.h"
#include "tests/core/temporary_folder.h"

namespace dbsp {
namespace {

using namespace dbsp::testing;  // NOLINT: the writers of file_bytes.h, used in every line

struct Sample {
  std::string name;
  std::string bytes;
};

std::vector<Sample> Samples() {
  const std::string npy = MakeNpy(NpyHeader("<i4", "(2, 2)"), std::string(16, '\1'));
  const std::vector<ZipPart> parts = {{"a.npy", npy}, {"b.npy", npy}};
  const std::string pickle =
      Pickle("}(" + PickleString("a") + Pickled({"IntStorage", "0", 4, 0, {2, 2}, {2, 1}}) +
             PickleString("b") + Pickled({"ByteStorage", "1", 4, 1, {3}, {1}}) + "u");
  const std::string json = R"({"a":{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]},)"
                           R"("b":{"dtype":"U8","shape":[3],"data_offsets":[16,19]}})";
  return {{"a.npy", npy},
          {"stored.npz", MakeZip(parts)},
          {"deflated.npz", MakeZip(parts, ZipKind::kDeflated)},
          {"wide.npz", MakeZip(parts, ZipKind::kZip64)},
          {"a.pt", MakeTorch(pickle, {{"0", std::string(16, '\1')}, {"1", "\1\2\3\4"}})},
          {"a.safetensors", MakeSafetensors(json, std::string(19, '\1'))}};
}

class ArrayCorruptionTest : public ::testing::Test {
 protected:
  /// Whether every array of the file could be read; anything but Error or success escapes.
  bool ReadsAll(const std::string& name, const std::string& bytes) {
    WriteUnsynced(name, bytes);
    try {
      for (const ArrayInfo& info : ListArrays(folder_ / name)) {
        const Array array = LoadArray(folder_ / name, info.name);
        EXPECT_EQ(static_cast<std::int64_t>(array.bytes.size()),
                  ElementCount(array.shape) * BytesOf(array.type));
      }
      return true;
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
      return false;
    }
  }
  void WriteUnsynced(const std::string& name, const std::string& bytes) {
    // Thousands of small files: without the fsync of WriteFileAtomically, and never truncating an
    // old one, which some file systems flush to the disk.
    std::filesystem::remove(folder_ / name);
    FILE* file = std::fopen((folder_ / name).c_str(), "wb");
    ASSERT_NE(file, nullptr);
    ASSERT_EQ(std::fwrite(bytes.data(), 1, bytes.size(), file), bytes.size());
    std::fclose(file);
  }
  void ExpectCorrupt(const std::string& name,
                     const std::string& bytes,
                     const std::vector<std::string>& words) {
    WriteUnsynced(name, bytes);
    ExpectError(
        ErrorCode::kCorruptInput, words, [&] { static_cast<void>(LoadArray(folder_ / name)); });
  }
  TemporaryFolder folder_;
};

TEST_F(ArrayCorruptionTest, TruncationAtEveryByteIsAnError) {
  for (const Sample& sample : Samples()) {
    EXPECT_TRUE(ReadsAll(sample.name, sample.bytes)) << sample.name;
    for (std::size_t size = 0; size < sample.bytes.size(); ++size) {
      EXPECT_FALSE(ReadsAll(sample.name, sample.bytes.substr(0, size)))
          << sample.name << " of " << size << " bytes";
    }
  }
}

TEST_F(ArrayCorruptionTest, FlippedBytesGiveAnErrorOrAnArray) {
  std::mt19937_64 random(20260131);
  for (const Sample& sample : Samples()) {
    int refused = 0;
    for (int round = 0; round < 400; ++round) {
      std::string bytes = sample.bytes;
      for (std::uint64_t flips = 1 + random() % 3; flips > 0; --flips) {
        bytes[random() % bytes.size()] = static_cast<char>(random());
      }
      refused += ReadsAll(sample.name, bytes) ? 0 : 1;
    }
    EXPECT_GT(refused, 30) << sample.name;
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  EXPECT_LT(usage.ru_maxrss, 2'000'000) << "kilobytes";  // sanitizers included
}

TEST_F(ArrayCorruptionTest, NpyShapesThatDoNotFitTheFileAreRefused) {
  for (const char* shape : {"(5,)",
                            "(4294967296, 4294967296, 4294967296)",
                            "(9223372036854775807,)",
                            "(9223372036854775807, 2)",
                            "(0, 9223372036854775807, 9223372036854775807)",
                            "(99999999999999999999,)",
                            "(-1,)"}) {
    ExpectCorrupt("h.npy", MakeNpy(NpyHeader("<i4", shape), std::string(16, '\0')), {"h.npy"});
  }
  for (const char* header : {"",
                             "{}",
                             "{'descr': '<f4'}",
                             "{'descr': '<f4', 'descr': '<f4'",
                             "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}",
                             "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
                             "{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}",
                             "{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}",
                             "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} 7"}) {
    ExpectCorrupt("h.npy", MakeNpy(header, std::string(16, '\0')), {"h.npy", "npy header"});
  }
  ExpectCorrupt("h.npy", MakeNpy(NpyHeader("<i4", "(1,)"), "1234", 4), {"version 4"});
}

TEST_F(ArrayCorruptionTest, ZipBombsAreRefusedBeforeTheyAreInflated) {
  const std::string npy = MakeNpy(NpyHeader("|u1", "(8,)"), "12345678");
  ExpectCorrupt("bomb.npz",
                MakeZip({{"a.npy", npy, std::int64_t{1} << 31}}, ZipKind::kDeflated),
                {"bomb.npz", "cannot hold"});
  ExpectCorrupt("bomb.npz", MakeZip({{"a.npy", npy, std::int64_t{1} << 40}}, ZipKind::kZip64), {});
  // A declared size below the true one must not read past it, nor above it invent bytes.
  EXPECT_FALSE(ReadsAll(
      "less.npz",
      MakeZip({{"a.npy", npy, static_cast<std::int64_t>(npy.size()) - 1}}, ZipKind::kDeflated)));
  const std::string half = MakeNpy(NpyHeader("|u1", "(16,)"), "12345678");
  EXPECT_FALSE(ReadsAll(
      "more.npz",
      MakeZip({{"a.npy", half, static_cast<std::int64_t>(half.size()) + 8}}, ZipKind::kDeflated)));
}

TEST_F(ArrayCorruptionTest, GlobalsOutsideTheListAreRefusedByName) {
  const auto refuse = [&](const std::string& pickle, const std::vector<std::string>& words) {
    ExpectCorrupt("evil.pt", MakeTorch(pickle, {}), words);
  };
  refuse(Pickle("cos\nsystem\n" + PickleString("echo") + "\x85R"), {"'os.system'", "evil.pt"});
  refuse(Pickle("cposix\nsystem\n" + PickleString("echo") + "\x85R"), {"'posix.system'"});
  refuse(Pickle("cbuiltins\neval\n" + PickleString("1") + "\x85R"), {"'builtins.eval'"});
  refuse(Pickle(PickleString("os") + PickleString("system") + "\x93"), {"'os.system'"});
  refuse(Pickle("ctorch\nload\n)R"), {"'torch.load'"});
  refuse(Pickle("ctorch.storage\n_load_from_bytes\n)R"), {"'torch.storage._load_from_bytes'"});
  refuse(Pickle(PickleString("os.system") + ")R"), {"no known function"});
  refuse(Pickle("ctorch\nFloatStorage\n)R"), {"storage class"});
  refuse(Pickle("}}b" + std::string("cos\nsystem\n")), {"'os.system'"});
}

TEST_F(ArrayCorruptionTest, PickleBombsEndInAnError) {
  const auto refuse = [&](const std::string& pickle) {
    ExpectCorrupt("bomb.pt", MakeTorch(pickle, {}), {"bomb.pt"});
  };
  refuse(Pickle(std::string(1'000'000, '(')));  // marks without end
  refuse(Pickle(std::string(1'000'000, ']') + std::string(999'999, 'a')));  // deep nesting
  std::string doubling = "]q" + LittleEndian(0, 1);  // billion laughs through the memo
  for (int i = 0; i < 60; ++i) {
    const std::string get = "h" + LittleEndian(static_cast<std::uint64_t>(i), 1);
    doubling += "0](" + get + get + "eq" + LittleEndian(static_cast<std::uint64_t>(i) + 1, 1);
  }
  refuse(Pickle(doubling));
  refuse(Pickle("]q" + LittleEndian(0, 1) + "h" + LittleEndian(0, 1) + "a"));  // holds itself
  refuse(Pickle("]r\xff\xff\xff\xff" + std::string("j\xfe\xff\xff\xff")));  // memo never set
  refuse(Pickle("\x8d" + LittleEndian(~0ULL, 8)));  // a string of 2^64 - 1 bytes
  refuse(Pickle("\x8a\xff"));
  refuse(Pickle("\xff"));
  refuse(Pickle("i"));
  refuse("\x80\x09.");
  refuse("");
  refuse(".");
  EXPECT_FALSE(ReadsAll("none.pt", MakeZip({{"model/other", "x"}})));
  ExpectCorrupt("old.pt", "\x80\x02\x8a\x0alF", {"old.pt", "not a zip checkpoint"});
}

TEST_F(ArrayCorruptionTest, TensorsOutsideTheirStorageAreRefused) {
  const PickleTensor bad[] = {{"ByteStorage", "0", 9, 0, {4}, {1}},
                              {"ByteStorage", "0", 8, 5, {4}, {1}},
                              {"ByteStorage", "0", 8, 9, {0}, {1}},
                              {"ByteStorage", "0", 8, 0, {2, 3}, {6, 1}},
                              {"ByteStorage", "0", 8, 0, {4}, {-1}},
                              {"ByteStorage", "0", 8, 0, {-4}, {1}},
                              {"ByteStorage", "0", 8, 0, {4, 1}, {1}},
                              {"ByteStorage", "0", -8, 0, {4}, {1}},
                              {"LongStorage", "0", 8, 0, {4}, {1}},
                              {"ByteStorage", "1", 8, 0, {4}, {1}},
                              {"ByteStorage", "0", 8, 0, {INT64_MAX, INT64_MAX}, {1, 1}},
                              {"ByteStorage", "0", 8, 0, {3}, {INT64_MAX}},
                              {"ByteStorage", "0", 8, 0, {1'000'000'000'000}, {0}}};
  for (const PickleTensor& tensor : bad) {
    ExpectCorrupt("t.pt", MakeTorch(Pickle(Pickled(tensor)), {{"0", "12345678"}}), {});
  }
}

TEST_F(ArrayCorruptionTest, SafetensorsHeadersThatLieAreRefused) {
  const auto refuse = [&](const std::string& json, const std::vector<std::string>& words) {
    ExpectCorrupt("s.safetensors", MakeSafetensors(json, "12345678"), words);
  };
  const auto tensor = [](const std::string& shape, const std::string& offsets) {
    return R"({"dtype":"U8","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
  };
  refuse(R"({"a":)" + tensor("[4]", "[0,4]") + R"(,"b":)" + tensor("[4]", "[3,7]") + "}",
         {"'a'", "'b'", "overlap"});
  refuse(R"({"a":)" + tensor("[4]", "[6,10]") + "}", {"a.data_offsets[1]"});
  refuse(R"({"a":)" + tensor("[4]", "[4,0]") + "}", {"a.data_offsets[1]"});
  refuse(R"({"a":)" + tensor("[4]", "[-1,3]") + "}", {"a.data_offsets[0]"});
  refuse(R"({"a":)" + tensor("[4]", "[0,3]") + "}", {"a.data_offsets", "4 bytes"});
  refuse(R"({"a":)" + tensor("[9223372036854775807,9]", "[0,4]") + "}", {"'a'"});
  refuse(R"({"a":)" + tensor("[-4]", "[0,4]") + "}", {"a.shape[0]"});
  refuse(R"({"a":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}})", {"a.dtype"});
  refuse(R"([1])", {"(document)"});
  refuse(R"({"a")", {"line 1"});
  ExpectCorrupt("s.safetensors", LittleEndian(~0ULL, 8) + "{}", {"header"});
  ExpectCorrupt("s.safetensors", LittleEndian(90'000'000, 8) + "{}", {"header"});
}

TEST_F(ArrayCorruptionTest, UnknownKindsAndMissingFilesAreNamed) {
  ExpectError(ErrorCode::kInvalidArgument, {"'.bin'", ".safetensors"}, [] {
    static_cast<void>(ListArrays("x.bin"));
  });
  for (const char* name : {"no.npy", "no.npz", "no.pt", "no.safetensors"}) {
    ExpectError(
        ErrorCode::kNotFound, {name}, [&] { static_cast<void>(ListArrays(folder_ / name)); });
  }
}

}  // namespace
}  // namespace dbsp
