// SPDX-License-Identifier: Apache-2.0
// A shared library that is opened at run time, so that a program also starts without it.
#pragma once

#include <memory>
#include <string>

namespace dbsp::runtime {

/// One open library. It stays loaded until the process ends, so that its functions may outlive the
/// object.
class DynamicLibrary {
 public:
  /// Opens `name` as the dynamic linker finds it; no other folder is searched. For the driver's
  /// libraries, which the CUDA runtime opens in this way as well.
  /// errors  Error{kUnavailable} "WHAT (NAME not found)", with the linker's error text when the
  ///         file exists but cannot be loaded
  DynamicLibrary(std::string name, const std::string& what);

  /// Opens `name` as the dynamic linker finds it, else from the folders of
  /// runtime/library_search.h, in their order. A name with a folder is opened from there only.
  /// errors  Error{kUnavailable} "WHAT: NAME not found (looked in PLACE, PLACE, ...); REMEDY", with
  ///         the linker's error texts when files exist but none can be loaded
  static DynamicLibrary Search(const std::string& name,
                               const std::string& what,
                               const std::string& remedy);

  /// The name that the linker found, or the path of a file that the search found.
  [[nodiscard]] const std::string& name() const { return name_; }

  /// The function `symbol`. The caller gives its type.
  /// errors  Error{kUnavailable} when absent
  template <typename Function>
  [[nodiscard]] Function* Get(const char* symbol) const {
    return reinterpret_cast<Function*>(Find(symbol));
  }
  /// The same; null when absent. For functions that only newer versions have.
  template <typename Function>
  [[nodiscard]] Function* TryGet(const char* symbol) const {
    return reinterpret_cast<Function*>(TryFind(symbol));
  }

 private:
  struct Close {
    void operator()(void* handle) const noexcept;
  };
  using Handle = std::unique_ptr<void, Close>;
  DynamicLibrary(std::string name, Handle handle);
  [[nodiscard]] void* Find(const char* symbol) const;
  [[nodiscard]] void* TryFind(const char* symbol) const;

  std::string name_;
  Handle handle_;
};

}  // namespace dbsp::runtime
