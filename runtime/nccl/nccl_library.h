// SPDX-License-Identifier: Apache-2.0
// NCCL, opened at run time. Without nccl.h at build time the same class answers that it was not
// built. It makes no communicator.
#pragma once

#include <memory>
#include <optional>
#include <string>

namespace dbsp::runtime {

/// threads  const members are safe concurrently
class NcclLibrary {
 public:
  /// Opens NCCL 2.
  /// errors  Error{kUnavailable} "NCCL: unavailable: ..." when it is absent or not built, or
  ///         naming the function that a library too old lacks
  static NcclLibrary Load(const std::string& library = "libnccl.so.2");
  ~NcclLibrary();
  NcclLibrary(NcclLibrary&&) noexcept;
  NcclLibrary& operator=(NcclLibrary&&) noexcept;

  /// Version of the library that was opened, "2.28.9".
  /// errors  Error{kUnavailable} with NCCL's own words
  [[nodiscard]] std::string version() const;

  /// version() of the library at hand; nothing where it cannot be had.
  [[nodiscard]] static std::optional<std::string> InstalledVersion(
      const std::string& library = "libnccl.so.2");
  /// Version of the nccl.h this build was made with; nothing when it was not built.
  [[nodiscard]] static std::optional<std::string> HeaderVersion();

 private:
  struct Api;
  explicit NcclLibrary(std::unique_ptr<Api> api);
  std::unique_ptr<Api> api_;
};

}  // namespace dbsp::runtime
