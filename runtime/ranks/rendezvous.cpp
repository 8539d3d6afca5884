// SPDX-License-Identifier: Apache-2.0
#include "runtime/ranks/rendezvous.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "core/error.h"
#include "core/json.h"
#include "runtime/file_descriptor.h"

namespace dbsp::runtime {
namespace {

constexpr std::size_t kLongestFile = 65536;

[[noreturn]] void FailToWrite(const std::string& path) {
  Fail(ErrorCode::kIo, "{}: cannot write the rendezvous file: {}", path, std::strerror(errno));
}

std::string FolderOf(const std::string& path) {
  return std::filesystem::absolute(path).parent_path().string();
}

void WriteAndSync(int file, const std::string& text, const std::string& path) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t count = ::write(file, text.data() + done, text.size() - done);
    if (count >= 0) {
      done += static_cast<std::size_t>(count);
    } else if (errno != EINTR) {
      FailToWrite(path);
    }
  }
  if (::fsync(file) != 0) FailToWrite(path);
}

/// Why the file may be another user's; "" when only this user can have written it and can read it.
std::string WhyNotTrusted(const struct stat& file, const struct stat& folder) {
  if (!S_ISREG(file.st_mode)) return "not a regular file";
  if ((file.st_mode & 077) != 0) {
    return fmt::format("other users have rights to it (mode {:04o}, expected 0600)",
                       file.st_mode & 07777);
  }
  // Some network file systems show one owner for all users, so a private folder is enough.
  const bool own = file.st_uid == ::geteuid() || file.st_uid == 0;
  const bool own_folder = (folder.st_mode & 022) == 0 && folder.st_uid == file.st_uid;
  if (own || own_folder) return "";
  return fmt::format("it belongs to user {}, and others can write its folder", file.st_uid);
}

/// At most kLongestFile bytes; nothing when reading fails or the file is longer.
std::optional<std::string> ReadShort(int file) {
  std::string text(kLongestFile + 1, '\0');
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t count = ::read(file, text.data() + done, text.size() - done);
    if (count == 0) break;
    if (count > 0) {
      done += static_cast<std::size_t>(count);
    } else if (errno != EINTR) {
      return std::nullopt;
    }
  }
  if (done > kLongestFile) return std::nullopt;
  text.resize(done);
  return text;
}

}  // namespace

Rendezvous ParseRendezvous(const std::string& text) {
  Rendezvous rendezvous;
  if (text.starts_with("file:") && text.size() > 5) {
    rendezvous.path = text.substr(5);
    return rendezvous;
  }
  const std::size_t colon = text.rfind(':');
  if (colon != std::string::npos && colon > 0) {
    rendezvous.host = text.substr(0, colon);
    const bool brackets = rendezvous.host.starts_with('[') && rendezvous.host.ends_with(']');
    if (brackets) rendezvous.host = rendezvous.host.substr(1, rendezvous.host.size() - 2);
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, rendezvous.port);
    if (error == std::errc() && stop == end && rendezvous.port > 0 && rendezvous.port < 65536 &&
        !rendezvous.host.empty()) {
      return rendezvous;
    }
  }
  Fail(ErrorCode::kInvalidArgument,
       "--rendezvous '{}': expected host:port, or file:PATH in a folder that all ranks can read",
       text);
}

std::string Describe(const Rendezvous& rendezvous) {
  if (rendezvous.path) return "file " + *rendezvous.path;
  // An IPv6 address has colons of its own.
  return rendezvous.host.find(':') == std::string::npos
             ? fmt::format("{}:{}", rendezvous.host, rendezvous.port)
             : fmt::format("[{}]:{}", rendezvous.host, rendezvous.port);
}

RendezvousFile::RendezvousFile(std::string path, const RankZero& zero) : path_(std::move(path)) {
  const Json document{{"schema", "dbsp.rendezvous/1"},
                      {"hosts", zero.hosts},
                      {"port", zero.port},
                      {"token", zero.token}};
  // A new file with an unpredictable name and mode 0600; rename replaces what is at `path`, and
  // follows no link.
  std::string temporary = path_ + ".tmpXXXXXX";
  const FileDescriptor file(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!file) FailToWrite(path_);
  try {
    WriteAndSync(file.get(), DumpJson(document) + "\n", path_);
    struct stat facts {};
    if (::fstat(file.get(), &facts) != 0) FailToWrite(path_);
    device_ = facts.st_dev;
    inode_ = facts.st_ino;
    if (::rename(temporary.c_str(), path_.c_str()) != 0) FailToWrite(path_);
  } catch (...) {
    (void)::unlink(temporary.c_str());
    throw;
  }
  const FileDescriptor folder(::open(FolderOf(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder) (void)::fsync(folder.get());
}

RendezvousFile::~RendezvousFile() {
  struct stat facts {};
  if (::lstat(path_.c_str(), &facts) == 0 && facts.st_dev == device_ && facts.st_ino == inode_) {
    (void)::unlink(path_.c_str());
  }
}

std::optional<RankZero> ReadRankZero(const std::string& path, std::string& problem) {
  // Opening the folder makes an NFS client ask the server again. Otherwise it may report for up to
  // a minute that the file is absent (nfs(5), acdirmax).
  const FileDescriptor folder(::open(FolderOf(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat facts {};
  struct stat folder_facts {};
  if (!folder || !file || ::fstat(folder.get(), &folder_facts) != 0 ||
      ::fstat(file.get(), &facts) != 0) {
    problem = "rank 0 has not written the file; is its folder visible to all ranks?";
    return std::nullopt;
  }
  problem = WhyNotTrusted(facts, folder_facts);
  if (!problem.empty()) return std::nullopt;
  try {
    const auto text = ReadShort(file.get());
    if (!text) Fail(ErrorCode::kCorruptInput, "{}: expected at most {} bytes", path, kLongestFile);
    const Json json = ParseJson(*text, path, {.max_bytes = kLongestFile, .max_depth = 4});
    const JsonView view(json, path);
    view.RequireSchema("dbsp.rendezvous/1");
    RankZero zero;
    for (const JsonView& host : view["hosts"].Items()) zero.hosts.push_back(host.String());
    zero.port = static_cast<int>(view["port"].Int(1, 65535));
    zero.token = view["token"].String();
    return zero;
  } catch (const Error& error) {
    problem = error.what();
    return std::nullopt;
  }
}

}  // namespace dbsp::runtime
