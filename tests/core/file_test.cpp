// SPDX-License-Identifier: Apache-2.0
#include "core/file.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <random>
#include <thread>

#include "core/error.h"
#include "tests/core/expect_error.h"
#include "tests/core/temporary_folder.h"

namespace dbsp {
namespace {

using testing::ExpectError;
using testing::TemporaryFolder;

std::size_t FilesIn(const std::filesystem::path& folder) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++count;
  return count;
}

TEST(WriteFileTest, BytesComeBackAndReplaceWhatWasThere) {
  const TemporaryFolder folder;
  for (const std::string& bytes :
       {std::string(), std::string("a\0b", 3), std::string(200'000, 'x')}) {
    WriteFileAtomically(folder / "f", bytes);
    EXPECT_EQ(ReadFile(folder / "f"), bytes);
  }
  EXPECT_EQ(FilesIn(folder.path()), 1U);
}

TEST(WriteFileTest, TargetThatIsAFolderIsAnErrorAndLeavesNothing) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "sub");
  ExpectError(ErrorCode::kIo, {"sub"}, [&] { WriteFileAtomically(folder / "sub", "x"); });
  EXPECT_EQ(FilesIn(folder.path()), 1U);
  ExpectError(
      ErrorCode::kIo, {"sub", "folder"}, [&] { static_cast<void>(ReadFile(folder / "sub")); });
}

TEST(WriteFileTest, FolderThatIsMissingOrUnwritableIsAnError) {
  const TemporaryFolder folder;
  ExpectError(ErrorCode::kIo, {"none/f"}, [&] { WriteFileAtomically(folder / "none/f", "x"); });
  ExpectError(ErrorCode::kIo, {"/proc/f"}, [] { WriteFileAtomically("/proc/f", "x"); });
  if (::geteuid() != 0) {  // root may write anywhere
    std::filesystem::permissions(folder.path(), std::filesystem::perms::owner_read);
    ExpectError(ErrorCode::kIo, {"f"}, [&] { WriteFileAtomically(folder / "f", "x"); });
    std::filesystem::permissions(folder.path(), std::filesystem::perms::owner_all);
  }
}

TEST(WriteFileTest, FailedWriteLeavesTheOldFileAndNoOther) {
  const TemporaryFolder folder;
  WriteFileAtomically(folder / "f", "old");
  // As on a full disk, the size limit makes write() fail after a part is written.
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{4096, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  std::string message;
  try {
    WriteFileAtomically(folder / "f", std::string(100'000, 'n'));
  } catch (const Error& error) {
    message = error.what();
  }
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_NE(message.find("cannot write"), std::string::npos) << message;
  EXPECT_EQ(ReadFile(folder / "f"), "old");
  EXPECT_EQ(FilesIn(folder.path()), 1U);
}

TEST(WriteFileTest, ReadersSeeOldOrNewNeverAMixture) {
  const TemporaryFolder folder;
  const std::string versions[] = {std::string(50'000, 'a'), std::string(90'000, 'b')};
  WriteFileAtomically(folder / "f", versions[0]);
  std::atomic<bool> done{false};
  std::atomic<int> mixed{0};
  std::vector<std::thread> readers;
  for (int r = 0; r < 2; ++r) {
    readers.emplace_back([&] {
      while (!done) {
        const std::string bytes = ReadFile(folder / "f");
        if (bytes != versions[0] && bytes != versions[1]) ++mixed;
      }
    });
  }
  for (int round = 0; round < 30; ++round) WriteFileAtomically(folder / "f", versions[round % 2]);
  done = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(mixed, 0);
}

TEST(ReadFileTest, MissingFilesAreNotFoundAndSizelessOnesAreReadWhole) {
  ExpectError(
      ErrorCode::kNotFound, {"/nonexistent"}, [] { static_cast<void>(ReadFile("/nonexistent")); });
  EXPECT_FALSE(ReadFile("/proc/self/status").empty());
}

TEST(ZstdTest, AnySizeComesBack) {
  std::mt19937_64 random(3);
  // Whole multiples of the stream's 128 KiB window fill the last buffer exactly.
  for (const std::size_t size :
       {0U, 1U, 1000U, 131'071U, 131'072U, 131'073U, 262'144U, 1'000'000U}) {
    std::string noise(size, '\0');
    for (char& c : noise) c = static_cast<char>(random());
    EXPECT_EQ(ZstdDecompress(ZstdCompress(noise), "z"), noise) << size;
    const std::string zeros(size, 'z');
    EXPECT_EQ(ZstdDecompress(ZstdCompress(zeros), "z"), zeros) << size;
  }
}

TEST(ZstdTest, TruncatedAndForeignBytesAreRefused) {
  const std::string whole = ZstdCompress("some text, some more text, some text");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    ExpectError(ErrorCode::kCorruptInput, {"origin.zst"}, [&] {
      static_cast<void>(ZstdDecompress(whole.substr(0, size), "origin.zst"));
    });
  }
  ExpectError(ErrorCode::kCorruptInput, {"origin.zst"}, [] {
    static_cast<void>(ZstdDecompress("{\"schema\": 1}", "origin.zst"));
  });
}

TEST(ZstdTest, AFrameThatInflatesBeyondTheLimitIsRefused) {
  const std::string bomb = ZstdCompress(std::string(50'000'000, 'z'));
  EXPECT_LT(bomb.size(), 10'000U);
  ExpectError(ErrorCode::kCorruptInput, {"origin.zst", "more than 1000000 bytes"}, [&] {
    static_cast<void>(ZstdDecompress(bomb, "origin.zst", 1'000'000));
  });
  EXPECT_EQ(ZstdDecompress(bomb, "origin.zst", 50'000'000).size(), 50'000'000U);
}

TEST(ZstdTest, EveryFlippedBitIsRefusedOrChangesNothing) {
  std::string text;
  for (int i = 0; i < 400; ++i) text += fmt::format("[{},\"pack\",{}],", i % 7, i * i);
  const std::string whole = ZstdCompress(text);
  int refused = 0;
  for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    try {
      EXPECT_EQ(ZstdDecompress(flipped, "z"), text) << bit;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorruptInput);
      ++refused;
    }
  }
  EXPECT_GT(refused, static_cast<int>(7 * whole.size()));
}

TEST(ZstdTest, AWrongChecksumIsNamed) {
  std::string bytes = ZstdCompress("some text, some more text, some text");
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  ExpectError(ErrorCode::kCorruptInput, {"origin.zst", "checksum"}, [&] {
    static_cast<void>(ZstdDecompress(bytes, "origin.zst"));
  });
}

TEST(ZstdTest, FramesAreJoinedSkippableFramesIgnoredAndOtherBytesRefused) {
  const std::string one = ZstdCompress("one ");
  const std::string two = ZstdCompress("two");
  const std::string skippable("\x50\x2a\x4d\x18\x03\x00\x00\x00xyz", 11);
  EXPECT_EQ(ZstdDecompress(one + two, "z"), "one two");
  EXPECT_EQ(ZstdDecompress(skippable + one + skippable + two + skippable, "z"), "one two");
  for (const std::string& wrong : {one + "x",
                                   one + "garbage after the frame",
                                   one + two.substr(0, two.size() - 1),
                                   skippable.substr(0, 9),
                                   std::string()}) {
    ExpectError(ErrorCode::kCorruptInput, {"origin.zst"}, [&] {
      static_cast<void>(ZstdDecompress(wrong, "origin.zst"));
    });
  }
}

TEST(HashFileTest, FollowsTheContentOfTheFile) {
  const TemporaryFolder folder;
  WriteFileAtomically(folder / "a", "some bytes");
  WriteFileAtomically(folder / "b", "some bytes");
  EXPECT_EQ(HashFile(folder / "a"), HashBytes(HashBytes("some bytes")));
  EXPECT_EQ(HashFile(folder / "a"), HashFile(folder / "b"));
  WriteFileAtomically(folder / "b", "other text");
  EXPECT_EQ(HashFile(folder / "b"), HashBytes(HashBytes("other text")));
  ExpectError(ErrorCode::kNotFound, {"no such file"}, [&] { (void)HashFile(folder / "missing"); });
}

TEST(HashBytesTest, Has32DigitsAndSeesEveryByte) {
  EXPECT_EQ(HashBytes("").size(), 32U);
  EXPECT_EQ(HashBytes("abc"), HashBytes(std::string("abc")));
  EXPECT_NE(HashBytes("abc"), HashBytes("abd"));
  EXPECT_NE(HashBytes("abc"), HashBytes(std::string_view("abc\0", 4)));
}

}  // namespace
}  // namespace dbsp
