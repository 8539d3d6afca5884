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
  /// Opens `name` as the dynamic linker finds it.
  /// errors  Error{kUnavailable} "WHAT (NAME not found)", or with a remedy "WHAT: NAME not found;
  ///         REMEDY"; with the linker's error text when the file exists but cannot be loaded
  DynamicLibrary(std::string name, const std::string& what, const std::string& remedy = "");

  [[nodiscard]] const std::string& name() const { return name_; }

  /// The function `symbol`. The caller gives its type. errors Error{kUnavailable} when absent
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
  [[nodiscard]] void* Find(const char* symbol) const;
  [[nodiscard]] void* TryFind(const char* symbol) const;

  std::string name_;
  std::unique_ptr<void, Close> handle_;
};

}  // namespace dbsp::runtime
