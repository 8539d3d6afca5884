// SPDX-License-Identifier: Apache-2.0
#include "core/output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <system_error>

#include "core/cli.h"
#include "core/error.h"
#include "core/output_target.h"

namespace dbsp {
namespace {

namespace fs = std::filesystem;
using internal::FileHandle;
using internal::OutputTarget;

[[noreturn]] void FailOutput(const OutputPath& output, const std::string& why) {
  Fail(ErrorCode::kIo, "{} {}: {}", output.flag, output.path.string(), why);
}

bool MayUse(const fs::path& path, int access) {
  return ::faccessat(AT_FDCWD, path.c_str(), access, AT_EACCESS) == 0;
}

/// Text that is equal for equal files: device and inode, or folder and name of a file that does not
/// exist yet.
std::string IdentityOf(const fs::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0) {
    return fmt::format("{}:{}", info.st_dev, info.st_ino);
  }
  if (::stat(internal::FolderOf(path).c_str(), &info) == 0) {
    return fmt::format("{}:{}/{}", info.st_dev, info.st_ino, path.filename().string());
  }
  std::error_code error;
  return fs::weakly_canonical(fs::absolute(path, error), error).string();
}

fs::path TargetOrSelf(const fs::path& path) {
  try {
    return internal::TargetOf(path).path;
  } catch (const Error&) {
    return path;  // whoever opens the path names the error
  }
}

/// Identities of a file, and of the files that SQLite keeps beside a database.
std::set<std::string> IdentitiesOf(const fs::path& path, FileUse use) {
  std::set<std::string> all;
  for (const fs::path& name : {path, TargetOrSelf(path)}) {
    for (const char* suffix : {"", "-wal", "-shm", "-journal"}) {
      all.insert(IdentityOf(name.string() + suffix));
      if (use == FileUse::kFile) break;
    }
  }
  return all;
}

/// Sticky folders such as /tmp let nobody but the owners replace a file.
bool ForbidsReplacing(const struct stat& folder, const std::optional<struct stat>& file) {
  const uid_t user = ::geteuid();
  return (folder.st_mode & S_ISVTX) != 0 && user != 0 && file && file->st_uid != user &&
         folder.st_uid != user;
}

void CheckFolder(const OutputPath& output, const OutputTarget& target) {
  fs::path folder = internal::FolderOf(target.path);
  struct stat info {};
  while (::stat(folder.c_str(), &info) != 0) {
    if ((errno != ENOENT && errno != ENOTDIR) || !output.makes_folder) {
      FailOutput(output,
                 fmt::format(
                     "cannot write into the folder {}: {}", folder.string(), std::strerror(errno)));
    }
    folder = internal::FolderOf(folder);
  }
  if (!S_ISDIR(info.st_mode)) {
    FailOutput(output, fmt::format("{} is not a folder", folder.string()));
  }
  // The only sure test: a folder of /proc, a full disk and some servers refuse what access()
  // allows.
  const auto [name, file] = internal::MakeTemporary(folder);
  if (file.get() >= 0) {
    ::unlink(name.c_str());
  } else {
    FailOutput(
        output,
        fmt::format("cannot write into the folder {}: {}", folder.string(), std::strerror(errno)));
  }
  if (ForbidsReplacing(info, target.info)) {
    FailOutput(output,
               "another user owns this file, and its folder lets only owners replace files");
  }
}

void CheckDescriptor(const OutputPath& output, int descriptor) {
  const int flags = ::fcntl(descriptor, F_GETFL);
  if (flags >= 0 && (flags & O_ACCMODE) != O_RDONLY) return;
  FailOutput(output, fmt::format("descriptor {} is not open for writing", descriptor));
}

/// errors  Error{kIo}. returns the FIFO when the output is one
std::optional<FileHandle> CheckTarget(const OutputPath& output, const OutputTarget& target) {
  if (target.descriptor) {
    CheckDescriptor(output, *target.descriptor);
    return std::nullopt;
  }
  if (!target.info) {
    CheckFolder(output, target);
    return std::nullopt;
  }
  const mode_t mode = target.info->st_mode;
  if (S_ISDIR(mode)) FailOutput(output, "is a folder; give the path of a file in it");
  if (S_ISBLK(mode) || S_ISSOCK(mode)) {
    FailOutput(
        output,
        fmt::format("is a {}; give the path of a file", S_ISBLK(mode) ? "block device" : "socket"));
  }
  if (!MayUse(target.path, W_OK)) FailOutput(output, std::strerror(errno));
  if (S_ISFIFO(mode)) return internal::OpenFifo(target.path);
  if (!S_ISREG(mode)) return std::nullopt;
  if (!internal::IsWrittenInPlace(target)) {
    CheckFolder(output, target);
  } else if (target.replaceable) {
    Progress(fmt::format("note: {} {}: the file has {} names (hard links); it is written in place",
                         output.flag,
                         output.path.string(),
                         target.info->st_nlink));
  }
  return std::nullopt;
}

/// The input with one of `identities`; null without one.
const InputPath* FindInput(const std::vector<InputPath>& inputs,
                           const std::set<std::string>& identities) {
  for (const InputPath& input : inputs) {
    if (input.path.empty()) continue;
    for (const std::string& one : IdentitiesOf(input.path, input.use)) {
      if (identities.contains(one)) return &input;
    }
  }
  return nullptr;
}

std::string Named(const InputPath& input) {
  return fmt::format("{}, {}", input.what, input.path.string());
}

void RefuseStandardOutputThatIsAnInput(const std::vector<InputPath>& inputs) {
  struct stat info {};
  if (::fstat(STDOUT_FILENO, &info) != 0 || !S_ISREG(info.st_mode)) return;
  const auto* input = FindInput(inputs, {fmt::format("{}:{}", info.st_dev, info.st_ino)});
  if (input == nullptr) return;
  Fail(ErrorCode::kInvalidArgument,
       "standard output would overwrite an input: {}; redirect it to another file",
       Named(*input));
}

OutputTarget OpenTarget(const OutputPath& output) {
  try {
    return internal::TargetOf(output.path);
  } catch (const Error& error) {
    Fail(error.code(), "{} {}", output.flag, error.what());
  }
}

/// Nothing for devices and FIFOs: /dev/null may take two outputs.
std::set<std::string> IdentitiesOf(const OutputPath& output, const OutputTarget& target) {
  const bool regular = !target.info || S_ISREG(target.info->st_mode);
  if (!target.descriptor) {
    return regular ? IdentitiesOf(target.path, output.use) : std::set<std::string>();
  }
  std::set<std::string> identities{fmt::format("descriptor {}", *target.descriptor)};
  if (target.info && regular) {
    identities.insert(fmt::format("{}:{}", target.info->st_dev, target.info->st_ino));
  }
  return identities;
}

void RefuseInput(const OutputPath& output,
                 const std::set<std::string>& identities,
                 const std::vector<InputPath>& inputs) {
  const InputPath* input = FindInput(inputs, identities);
  if (input == nullptr) return;
  Fail(ErrorCode::kInvalidArgument,
       "{} {}: the output would overwrite an input: {}",
       output.flag,
       output.path.string(),
       Named(*input));
}

}  // namespace

OpenOutputs CheckOutputs(const std::vector<OutputPath>& outputs,
                         const std::vector<InputPath>& inputs) {
  RefuseStandardOutputThatIsAnInput(inputs);
  std::map<std::string, const OutputPath*> written;
  std::vector<FileHandle> fifos;
  for (const OutputPath& output : outputs) {
    if (!output.path.has_filename()) FailOutput(output, "expected the path of a file");
    const OutputTarget target = OpenTarget(output);
    const std::set<std::string> identities = IdentitiesOf(output, target);
    RefuseInput(output, identities, inputs);
    for (const std::string& identity : identities) {
      const auto [other, fresh] = written.emplace(identity, &output);
      if (fresh || other->second == &output) continue;
      Fail(ErrorCode::kInvalidArgument,
           "{} {}: the output would overwrite another output: {} {}",
           output.flag,
           output.path.string(),
           other->second->flag,
           other->second->path.string());
    }
    if (output.use == FileUse::kDatabase) continue;
    if (auto fifo = CheckTarget(output, target)) fifos.push_back(std::move(*fifo));
  }
  return OpenOutputs(std::move(fifos));
}

bool IsStandardOutput(const fs::path& path) {
  return internal::TargetOf(path).descriptor == STDOUT_FILENO;
}

void WriteSummary(const fs::path& output, const std::string& text) {
  if (IsStandardOutput(output)) {
    ProgressText(text);
  } else {
    WriteStdout(text);
  }
}

std::string OutputName(const fs::path& path) {
  return path == "-" ? "standard output" : path.string();
}

}  // namespace dbsp
