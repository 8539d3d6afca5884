// SPDX-License-Identifier: Apache-2.0
#include "bench/gpu_check/results.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "core/error.h"

namespace dbsp::gpu_check {
namespace {

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    const auto byte = static_cast<unsigned char>(c);
    quoted +=
        byte < 0x20 ? fmt::format("\\u{:04x}", static_cast<unsigned>(byte)) : std::string(1, c);
  }
  return quoted + "\"";
}

std::string Number(double value) {
  return std::isfinite(value) ? fmt::format("{}", value) : "null";
}

}  // namespace

JsonLine& JsonLine::AddRaw(const std::string& key, const std::string& value) {
  members_ += (members_.empty() ? "" : ", ") + Quoted(key) + ": " + value;
  return *this;
}
JsonLine& JsonLine::Add(const std::string& key, const std::string& value) {
  return AddRaw(key, Quoted(value));
}
JsonLine& JsonLine::Add(const std::string& key, double value) { return AddRaw(key, Number(value)); }
JsonLine& JsonLine::Add(const std::string& key, std::int64_t value) {
  return AddRaw(key, fmt::format("{}", value));
}
JsonLine& JsonLine::Add(const std::string& key, bool value) {
  return AddRaw(key, value ? "true" : "false");
}
JsonLine& JsonLine::Add(const std::string& key, const std::vector<double>& values) {
  std::string list;
  for (const double value : values) list += (list.empty() ? "" : ", ") + Number(value);
  return AddRaw(key, "[" + list + "]");
}

Results::Results(const std::string& folder, const std::string& name)
    : folder_(folder), path_(folder + "/" + name + ".jsonl") {
  std::error_code problem;
  std::filesystem::create_directories(folder, problem);
  file_.reset(std::fopen(path_.c_str(), "a"));
  if (!file_) Fail(ErrorCode::kIo, "{}: cannot be written; give another --out", path_);
}

void Results::Write(const JsonLine& line) {
  const std::string text = line.text() + "\n";
  const bool written = std::fwrite(text.data(), 1, text.size(), file_.get()) == text.size() &&
                       std::fflush(file_.get()) == 0;
  if (!written) Fail(ErrorCode::kIo, "{}: a line could not be written; is the disk full?", path_);
  (void)fsync(fileno(file_.get()));
}

void WriteMask(const std::string& path,
               const std::vector<std::int64_t>& shape,
               const std::vector<std::uint8_t>& values) {
  std::string sides;
  for (const std::int64_t side : shape) sides += fmt::format("{}, ", side);
  std::string header =
      fmt::format("{{'descr': '|u1', 'fortran_order': False, 'shape': ({}), }}", sides);
  // Format 1.0: magic, version, length, header padded so that the data starts at a multiple of 64.
  header.resize((10 + header.size() + 1 + 63) / 64 * 64 - 10 - 1, ' ');
  header += '\n';
  const std::string magic("\x93NUMPY\x01\x00", 8);
  const auto length = static_cast<std::uint16_t>(header.size());
  const std::string size{static_cast<char>(length & 0xFF), static_cast<char>(length >> 8)};
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "wb"),
                                                             std::fclose);
  const std::string start = magic + size + header;
  if (!file || std::fwrite(start.data(), 1, start.size(), file.get()) != start.size() ||
      std::fwrite(values.data(), 1, values.size(), file.get()) != values.size() ||
      std::fflush(file.get()) != 0) {
    Fail(ErrorCode::kIo, "{}: the mask could not be written", path);
  }
}

std::string TableText(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string space(widths[i] - row[i].size(), ' ');
      line += i == 0 ? row[i] + space : "  " + space + row[i];
    }
    text += line + "\n";
  }
  return text;
}

}  // namespace dbsp::gpu_check
