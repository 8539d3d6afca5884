// SPDX-License-Identifier: Apache-2.0
// The checksums of zip members are compared, for slices too.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <string>

#include "core/arrays/array.h"
#include "core/error.h"
#include "core/file.h"
#include "tests/core/expect_error.h"
#include "tests/core/file_bytes.h"
#include "tests/core/temporary_folder.h"

namespace dbsp {
namespace {

using namespace dbsp::testing;  // NOLINT: the writers of file_bytes.h, used in every line

constexpr std::int64_t kRows = 400;
constexpr std::int64_t kColumns = 1000;

std::string Data() {
  std::string data;
  for (std::int64_t i = 0; i < kRows * kColumns; ++i) data += static_cast<char>(i % 251);
  return data;
}

struct Archive {
  const char* name;
  std::string bytes;
};

std::vector<Archive> Archives() {
  const std::string npy = MakeNpy(NpyHeader("|u1", "(400, 1000)"), Data());
  const std::string small = MakeNpy(NpyHeader("|u1", "(8,)"), "12345678");
  const std::vector<ZipPart> parts = {{"m.npy", npy}, {"other.npy", small}};
  const std::string pickle =
      Pickle("}(" + PickleString("m") +
             Pickled({"ByteStorage", "0", kRows * kColumns, 0, {kRows, kColumns}, {kColumns, 1}}) +
             PickleString("other") + Pickled({"ByteStorage", "1", 8, 0, {8}, {1}}) + "u");
  return {{"stored.npz", MakeZip(parts)},
          {"deflated.npz", MakeZip(parts, ZipKind::kDeflated)},
          {"wide.npz", MakeZip(parts, ZipKind::kZip64)},
          {"a.pt", MakeTorch(pickle, {{"0", Data()}, {"1", "12345678"}})}};
}

TEST(ZipChecksumTest, ASliceOfADamagedMemberIsRefusedWhereverTheDamageIs) {
  const TemporaryFolder folder;
  for (const Archive& archive : Archives()) {
    SCOPED_TRACE(archive.name);
    const std::string data = Data();
    const std::size_t begin = archive.bytes.find(data.substr(0, 300));
    ASSERT_NE(begin, std::string::npos);
    for (const std::size_t at : {std::size_t{0}, std::size_t{200'000}, data.size() - 1}) {
      std::string damaged = archive.bytes;
      damaged[begin + at] = static_cast<char>(damaged[begin + at] ^ 0x10);
      std::filesystem::remove(folder / archive.name);
      WriteFileAtomically(folder / archive.name, damaged);
      for (const std::int64_t row : {std::int64_t{0}, std::int64_t{150}, kRows - 1}) {
        ExpectError(ErrorCode::kCorruptInput, {archive.name, "member '", "CRC-32"}, [&] {
          static_cast<void>(ArrayFile(folder / archive.name, "m").Slice({&row, 1}));
        });
      }
    }
  }
}

TEST(ZipChecksumTest, AWholeMemberIsReadAlthoughAnotherIsDamaged) {
  const TemporaryFolder folder;
  for (Archive& archive : Archives()) {
    SCOPED_TRACE(archive.name);
    const std::size_t at = archive.bytes.rfind("12345678");
    ASSERT_NE(at, std::string::npos);
    archive.bytes[at] = '!';
    WriteFileAtomically(folder / archive.name, archive.bytes);
    const bool torch = std::string(archive.name) == "a.pt";
    ExpectError(ErrorCode::kCorruptInput, {archive.name, "CRC-32"}, [&] {
      static_cast<void>(LoadArray(folder / archive.name, "other"));
    });
    // The list of an .npz needs the header of every member.
    if (torch) {
      EXPECT_EQ(LoadArray(folder / archive.name, "m").bytes, Data());
    }
  }
}

TEST(ZipChecksumTest, NoFlippedBitOfAMemberIsAcceptedWithOtherContent) {
  const TemporaryFolder folder;
  const std::string npy = MakeNpy(NpyHeader("|u1", "(8,)"), "12345678");
  for (const ZipKind kind : {ZipKind::kStored, ZipKind::kDeflated, ZipKind::kZip64}) {
    const std::string whole = MakeZip({{"m.npy", npy}}, kind);
    for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
      std::string flipped = whole;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
      const std::string name = fmt::format("{}.npz", bit % 2);
      std::filesystem::remove(folder / name);
      FILE* file = std::fopen((folder / name).c_str(), "wb");
      ASSERT_NE(file, nullptr);
      ASSERT_EQ(std::fwrite(flipped.data(), 1, flipped.size(), file), flipped.size());
      std::fclose(file);
      try {
        EXPECT_EQ(LoadArray(folder / name).bytes, "12345678") << "bit " << bit;
      } catch (const Error& error) {
        EXPECT_EQ(ExitCode(error.code()), 2) << error.what();
      }
    }
  }
}

}  // namespace
}  // namespace dbsp
