// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/fuzz_target.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "core/error.h"

namespace dbsp::fuzz {
namespace {

/// A folder of this process, removed at its end.
class Folder {
 public:
  Folder() {
    std::string name = std::filesystem::is_directory("/dev/shm") ? "/dev/shm" : "/tmp";
    name += "/dbsp_fuzzXXXXXX";
    if (::mkdtemp(name.data()) == nullptr) ReportFault("cannot make a folder for inputs");
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace

void ReportFault(const std::string& message) {
  fmt::print(stderr, "fault: {}\n", message);
  std::abort();
}

void ExpectResultOrError(const std::function<void()>& parse) {
  try {
    parse();
  } catch (const Error& error) {
    const std::string message = error.what();
    const int code = ExitCode(error.code());
    if (code != 2 && code != 3) ReportFault(fmt::format("exit code {}: {}", code, message));
    if (message.empty() || message.size() > 4096) ReportFault("the message is no line: " + message);
    for (const char c : message) {
      if (static_cast<unsigned char>(c) < 0x20) ReportFault("a control character: " + message);
    }
  } catch (const std::exception& error) {
    ReportFault(fmt::format("an exception that is no Error: {}", error.what()));
  }
}

std::filesystem::path InputFile(std::string_view bytes, const std::string& suffix) {
  static const Folder folder;
  const std::filesystem::path path = folder.path() / ("input" + suffix);
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) ReportFault("cannot write " + path.string());
  return path;
}

}  // namespace dbsp::fuzz
