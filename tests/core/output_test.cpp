// SPDX-License-Identifier: Apache-2.0
#include "core/output.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <ctime>
#include <fstream>
#include <set>
#include <thread>

#include "core/error.h"
#include "core/file.h"
#include "tests/core/expect_error.h"
#include "tests/core/limited_user.h"
#include "tests/core/temporary_folder.h"

namespace dbsp {
namespace {

namespace fs = std::filesystem;
using testing::ExpectError;
using testing::InChild;
using testing::TemporaryFolder;

struct stat StatOf(const fs::path& path) {
  struct stat info {};
  EXPECT_EQ(::lstat(path.c_str(), &info), 0) << path;
  return info;
}

std::set<std::string> NamesIn(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename());
  return names;
}

/// Opens the read end first, as `cat FIFO &` does, and returns what was written.
class FifoReader {
 public:
  explicit FifoReader(const fs::path& path) : thread_([this, path] { text_ = ReadAll(path); }) {}
  std::string Text() {
    thread_.join();
    return text_;
  }

 private:
  static std::string ReadAll(const fs::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::string text_;
  std::thread thread_;
};

TEST(WriteOutputTest, ASymbolicLinkStaysAndItsTargetIsReplaced) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "d");
  WriteFileAtomically(folder / "d/target", "old");
  const ino_t before = StatOf(folder / "d/target").st_ino;
  fs::create_symlink("d/target", folder / "link");
  fs::create_symlink("link", folder / "link2");
  WriteFileAtomically(folder / "link2", "new");
  EXPECT_TRUE(fs::is_symlink(folder / "link"));
  EXPECT_TRUE(fs::is_symlink(folder / "link2"));
  EXPECT_EQ(ReadFile(folder / "d/target"), "new");
  EXPECT_NE(StatOf(folder / "d/target").st_ino, before);  // replaced as a whole
}

TEST(WriteOutputTest, ADanglingLinkMakesItsTargetAndALoopIsRefused) {
  const TemporaryFolder folder;
  fs::create_symlink("absent", folder / "link");
  WriteFileAtomically(folder / "link", "new");
  EXPECT_TRUE(fs::is_symlink(folder / "link"));
  EXPECT_EQ(ReadFile(folder / "absent"), "new");
  fs::create_symlink("b", folder / "a");
  fs::create_symlink("a", folder / "b");
  ExpectError(ErrorCode::kIo, {"/a", "loop"}, [&] { WriteFileAtomically(folder / "a", "x"); });
  ExpectError(ErrorCode::kIo, {"-o ", "/a", "loop"}, [&] {
    (void)CheckOutputs({{"-o", folder / "a"}}, {});
  });
}

TEST(WriteOutputTest, AllHardLinksShowTheNewContent) {
  const TemporaryFolder folder;
  for (const std::string& text : {std::string(10, 'n'), std::string(5000, 'n')}) {
    WriteFileAtomically(folder / "a", std::string(100, 'o'));
    fs::remove(folder / "b");
    fs::create_hard_link(folder / "a", folder / "b");
    WriteFileAtomically(folder / "b", text);
    EXPECT_EQ(ReadFile(folder / "a"), text);
    EXPECT_EQ(StatOf(folder / "a").st_ino, StatOf(folder / "b").st_ino);
    fs::remove(folder / "a");
  }
}

TEST(WriteOutputTest, AFailedWriteInPlacePutsTheOldContentBack) {
  const TemporaryFolder folder;
  WriteFileAtomically(folder / "a", "old content");
  fs::create_hard_link(folder / "a", folder / "b");
  const int code = InChild([&] {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit small{4096, 4096};
    ::setrlimit(RLIMIT_FSIZE, &small);
    try {
      WriteFileAtomically(folder / "a", std::string(10'000, 'n'));
    } catch (const Error&) {
      return 1;
    }
    return 0;
  });
  EXPECT_EQ(code, 1);
  EXPECT_EQ(ReadFile(folder / "b"), "old content");
}

TEST(WriteOutputTest, ModeAndOwnerOfAnExistingFileAreKept) {
  const TemporaryFolder folder;
  WriteFileAtomically(folder / "f", "old");
  ASSERT_EQ(::chmod((folder / "f").c_str(), 0640), 0);
  const bool root = ::geteuid() == 0;
  if (root) {
    ASSERT_EQ(::chown((folder / "f").c_str(), 1234, 1235), 0);
  }
  WriteFileAtomically(folder / "f", "new");
  const struct stat info = StatOf(folder / "f");
  EXPECT_EQ(info.st_mode & 07777U, 0640U);
  if (root) {
    EXPECT_EQ(info.st_uid, 1234U);
    EXPECT_EQ(info.st_gid, 1235U);
  }
  EXPECT_EQ(ReadFile(folder / "f"), "new");
}

TEST(WriteOutputTest, AFifoStaysAndItsReaderGetsTheBytes) {
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  FifoReader reader(folder / "fifo");
  {
    // The reader sees no end between the check and the write.
    const OpenOutputs open = CheckOutputs({{"-o", folder / "fifo"}}, {});
    WriteFileAtomically(folder / "fifo", "bytes");
  }
  EXPECT_EQ(reader.Text(), "bytes");
  EXPECT_TRUE(fs::is_fifo(folder / "fifo"));
  ExpectError(ErrorCode::kIo, {"fifo", "no process reads"}, [&] {
    WriteFileAtomically(folder / "fifo", "bytes");
  });
}

TEST(WriteOutputTest, ACharacterDeviceStaysOne) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root may make a device";
  const TemporaryFolder folder;  // never the machine's own /dev/null
  if (::mknod((folder / "null").c_str(), S_IFCHR | 0666, makedev(1, 3)) != 0 ||
      ::mknod((folder / "full").c_str(), S_IFCHR | 0666, makedev(1, 7)) != 0) {
    GTEST_SKIP() << "this root may not make devices";
  }
  fs::create_symlink("null", folder / "link");
  for (const char* name : {"null", "link"}) {
    (void)CheckOutputs({{"-o", folder / name}}, {});
    WriteFileAtomically(folder / name, "bytes");
  }
  ExpectError(ErrorCode::kIo, {"full", "No space left"}, [&] {
    WriteFileAtomically(folder / "full", "bytes");
  });
  EXPECT_TRUE(S_ISCHR(StatOf(folder / "null").st_mode));
  EXPECT_TRUE(S_ISCHR(StatOf(folder / "full").st_mode));
  EXPECT_EQ(NamesIn(folder.path()), (std::set<std::string>{"full", "link", "null"}));
}

TEST(WriteOutputTest, DescriptorsOfThisProcessAreWrittenTo) {
  const TemporaryFolder folder;
  const int fd = ::open((folder / "f").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::write(fd, "first ", 6), 6);
  for (const char* under : {"/dev/fd/", "/proc/self/fd/"}) {
    WriteFileAtomically(under + std::to_string(fd), "more ");
  }
  ::close(fd);
  EXPECT_EQ(ReadFile(folder / "f"), "first more more ");
  EXPECT_TRUE(IsStandardOutput("-"));
  EXPECT_TRUE(IsStandardOutput("/dev/stdout"));
  EXPECT_TRUE(IsStandardOutput("/dev/fd/1"));
  EXPECT_FALSE(IsStandardOutput("./-"));
  EXPECT_FALSE(IsStandardOutput(folder / "f"));
}

TEST(WriteOutputTest, ANameOfTheLongestLengthIsWritten) {
  const TemporaryFolder folder;
  WriteFileAtomically(folder / std::string(255, 'n'), "x");
  EXPECT_EQ(ReadFile(folder / std::string(255, 'n')), "x");
}

TEST(WriteOutputTest, OnlyTemporaryFilesOfDeadWritersAreRemoved) {
  const TemporaryFolder folder;
  // A writer that is killed as it writes leaves a file whose name says how this machine is called.
  const pid_t dead = ::fork();
  if (dead == 0) {
    // The limit of the file's size ends the process within the write.
    std::signal(SIGXFSZ, SIG_DFL);
    const rlimit small{10, 10};
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
    ::setrlimit(RLIMIT_FSIZE, &small);
    WriteFileAtomically(folder / "f", std::string(1000, 'n'));
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(dead, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  ASSERT_EQ(NamesIn(folder.path()).size(), 1U);
  const std::string left = *NamesIn(folder.path()).begin();
  const std::string machine = left.substr(6, 8);
  ASSERT_EQ(left.substr(0, 15 + std::to_string(dead).size()),
            ".dbsp-" + machine + "-" + std::to_string(dead));
  const std::string other = machine == "01234567" ? "76543210" : "01234567";
  const std::set<std::string> kept{
      ".dbsp-" + machine + "-" + std::to_string(::getpid()) + "-abcdef.tmp",  // this writer lives
      ".dbsp-" + other + "-" + std::to_string(dead) + "-abcdef.tmp",  // of another machine
      ".dbsp-" + machine + "-" + std::to_string(dead) + "-abcdef.txt",  // other names
      ".dbsp-" + machine + "-" + std::to_string(dead) + "-abcdefg.tmp",
      ".dbsp-" + machine + "--abcdef.tmp",
      "f.tmp123456"};
  for (const std::string& name : kept) std::ofstream(folder / name) << "text";
  const std::string old = ".dbsp-" + other + "-1-abcdef.tmp";  // a day is longer than any write
  std::ofstream(folder / old) << "text";
  const timespec times[2] = {{std::time(nullptr) - 100'000, 0}, {std::time(nullptr) - 100'000, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (folder / old).c_str(), times, 0), 0);
  fs::create_directory(folder / (".dbsp-" + machine + "-" + std::to_string(dead) + "-folder.tmp"));
  WriteFileAtomically(folder / "f", "new");
  std::set<std::string> expected = kept;
  expected.insert("f");
  expected.insert(".dbsp-" + machine + "-" + std::to_string(dead) + "-folder.tmp");
  EXPECT_EQ(NamesIn(folder.path()), expected);
}

TEST(CheckOutputsTest, AnOutputThatIsAnInputIsRefusedUnderEveryName) {
  const TemporaryFolder folder;
  WriteFileAtomically(folder / "in", "input");
  fs::create_hard_link(folder / "in", folder / "hard");
  fs::create_symlink("in", folder / "soft");
  fs::create_directory(folder / "d");
  const int fd = ::open((folder / "in").c_str(), O_RDWR);
  const std::vector<InputPath> inputs{{"the plan", folder / "in"}, {"the workload", ""}};
  for (const fs::path& name : {folder / "in",
                               folder / "hard",
                               folder / "soft",
                               folder / "d/../in",
                               fs::path("/dev/fd/" + std::to_string(fd)),
                               fs::path("/proc/self/fd/" + std::to_string(fd))}) {
    ExpectError(ErrorCode::kInvalidArgument,
                {"-o " + name.string(), "would overwrite an input: the plan, "},
                [&] {
                  (void)CheckOutputs({{"-o", name}}, inputs);
                });
    ExpectError(ErrorCode::kInvalidArgument, {"would overwrite an input"}, [&] {
      (void)CheckOutputs({{"-o", folder / "in"}}, {{"the plan", name}});
    });
  }
  ::close(fd);
  EXPECT_NO_THROW((void)CheckOutputs({{"-o", folder / "out"}}, inputs));
}

TEST(CheckOutputsTest, TheFilesBesideADatabaseBelongToIt) {
  const TemporaryFolder folder;
  fs::create_symlink("p.db", folder / "link.db");
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) {
    for (const char* base : {"p.db", "link.db"}) {
      ExpectError(ErrorCode::kInvalidArgument, {"the database"}, [&] {
        (void)CheckOutputs({{"-o", folder / (std::string("p.db") + suffix)}},
                           {{"the database", folder / base, FileUse::kDatabase}});
      });
    }
  }
  EXPECT_NO_THROW((void)CheckOutputs({{"-o", folder / "p.db-wall"}},
                                     {{"the database", folder / "p.db", FileUse::kDatabase}}));
}

TEST(CheckOutputsTest, TwoOutputsWithOneNameAreRefused) {
  const TemporaryFolder folder;
  ExpectError(ErrorCode::kInvalidArgument, {"--trace ", "another output: --db "}, [&] {
    (void)CheckOutputs({{"--db", folder / "t/rank0.json", FileUse::kDatabase},
                        {"--trace", folder / "t/../t/rank0.json", FileUse::kFile, true}},
                       {});
  });
  ExpectError(ErrorCode::kInvalidArgument, {"another output"}, [&] {
    (void)CheckOutputs({{"-a", "-"}, {"-b", "/dev/fd/1"}}, {});
  });
}

TEST(CheckOutputsTest, PathsThatCannotBeWrittenAreRefusedWithTheirFlag) {
  const TemporaryFolder folder;
  WriteFileAtomically(folder / "file", "x");
  const std::pair<fs::path, const char*> wrong[] = {
      {folder.path(), "is a folder"},
      {folder / "sub/", "expected the path of a file"},
      {"", "expected the path of a file"},
      {folder / "none/f", "cannot write into the folder"},
      {folder / "file/f", "file is not a folder"},
      {folder / std::string(300, 'n'), "File name too long"}};
  for (const auto& [path, word] : wrong) {
    ExpectError(ErrorCode::kIo, {"-o " + path.string(), word}, [&, &output = path] {
      (void)CheckOutputs({{"-o", output}}, {});
    });
  }
  ExpectError(ErrorCode::kIo, {"--trace ", "file is not a folder"}, [&] {
    (void)CheckOutputs({{"--trace", folder / "file/a/rank0.json", FileUse::kFile, true}}, {});
  });
  EXPECT_NO_THROW((void)CheckOutputs({{"--trace", folder / "a/b/c", FileUse::kFile, true}}, {}));
  EXPECT_EQ(NamesIn(folder.path()), std::set<std::string>{"file"});
}

TEST(CheckOutputsTest, ASocketIsRefused) {
  const TemporaryFolder folder;
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  const std::string name = (folder / "socket").string();
  ASSERT_LT(name.size(), sizeof(address.sun_path));
  name.copy(address.sun_path, name.size());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ExpectError(ErrorCode::kIo, {"socket"}, [&] { (void)CheckOutputs({{"-o", name}}, {}); });
  ExpectError(ErrorCode::kIo, {"socket"}, [&] { WriteFileAtomically(name, "x"); });
  ExpectError(ErrorCode::kIo, {"not a regular file but a socket"}, [&] { (void)ReadFile(name); });
  ::close(fd);
}

TEST(CheckOutputsTest, ABlockDeviceIsNeitherWrittenNorRead) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root may make a device";
  const TemporaryFolder folder;
  const fs::path disk = folder / "disk";  // of no driver
  if (::mknod(disk.c_str(), S_IFBLK | 0666, makedev(240, 0)) != 0) {
    GTEST_SKIP() << "this root may not make devices";
  }
  ExpectError(ErrorCode::kIo, {"block device"}, [&] { (void)CheckOutputs({{"-o", disk}}, {}); });
  ExpectError(ErrorCode::kIo, {"block device"}, [&] { WriteFileAtomically(disk, "x"); });
  ExpectError(
      ErrorCode::kIo, {"not a regular file but a block device"}, [&] { (void)ReadFile(disk); });
}

TEST(CheckOutputsTest, ReadOnlyFilesAndFoldersAreRefused) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "closed");
  WriteFileAtomically(folder / "closed/f", "x");
  fs::create_directory(folder / "open");
  WriteFileAtomically(folder / "open/f", "x");
  ASSERT_EQ(::chmod((folder / "open/f").c_str(), 0444), 0);
  ASSERT_EQ(::chmod((folder / "closed/f").c_str(), 0666), 0);
  ASSERT_EQ(::chmod((folder / "closed").c_str(), 0555), 0);
  ASSERT_EQ(::chmod((folder / "open").c_str(), 0777), 0);
  ASSERT_EQ(::chmod(folder.path().c_str(), 0755), 0);
  const auto message = [](const fs::path& path) -> std::string {
    try {
      (void)CheckOutputs({{"-o", path}}, {});
    } catch (const Error& error) {
      return error.what();
    }
    return {};
  };
  const int code = InChild([&] {
    testing::BecomeNobody();
    if (message(folder / "closed/new").find("Permission denied") == std::string::npos) return 1;
    if (message(folder / "closed/f").find("Permission denied") == std::string::npos) return 2;
    if (message(folder / "open/f").find("Permission denied") == std::string::npos) return 3;
    return message(folder / "open/new").empty() ? 0 : 4;
  });
  EXPECT_EQ(code, 0);
  ::chmod((folder / "closed").c_str(), 0755);
}

TEST(ReadFileTest, SpecialFilesAreRefusedBeforeTheyAreOpened) {
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  fs::create_symlink("fifo", folder / "link");
  for (const char* name : {"fifo", "link"}) {
    ExpectError(ErrorCode::kIo, {"not a regular file but a pipe or FIFO"}, [&] {
      (void)ReadFile(folder / name);
    });
    ExpectError(ErrorCode::kIo, {"not a regular file"}, [&] { (void)HashFile(folder / name); });
  }
  for (const char* name : {"/dev/zero", "/dev/null"}) {
    ExpectError(ErrorCode::kIo, {name, "not a regular file but a character device"}, [&] {
      (void)ReadFile(name);
    });
    ExpectError(ErrorCode::kIo, {"not a regular file"}, [&] { (void)HashFile(name); });
  }
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ExpectError(ErrorCode::kIo, {"not a regular file but a pipe"}, [&] {
    (void)ReadFile("/dev/fd/" + std::to_string(ends[0]));
  });
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(ReadFileTest, AFileBeyondItsLimitIsRefusedBeforeMemoryIsAllocated) {
  const TemporaryFolder folder;
  WriteFileAtomically(folder / "f", "12345");
  EXPECT_EQ(ReadFile(folder / "f", 5), "12345");
  ExpectError(
      ErrorCode::kCorruptInput, {"more than 4 bytes"}, [&] { (void)ReadFile(folder / "f", 4); });
  fs::resize_file(folder / "f", std::uintmax_t{1} << 42);  // sparse
  ExpectError(ErrorCode::kCorruptInput, {"more than"}, [&] { (void)ReadFile(folder / "f"); });
  ExpectError(ErrorCode::kCorruptInput, {"more than"}, [&] { (void)HashFile(folder / "f"); });
}

}  // namespace
}  // namespace dbsp
