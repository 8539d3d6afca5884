// SPDX-License-Identifier: Apache-2.0
// A shared library opened at run time, so that a binary built here starts on any machine.
#pragma once

#include <memory>
#include <string>

namespace dbsp::runtime {

/// One open library. It stays in the process until that ends, so that functions taken from it may
/// outlive the object.
class DynamicLibrary {
 public:
  /// Opens `name` as the dynamic linker finds it.
  /// errors  Error{kUnavailable} "WHAT (NAME not found)", with a remedy "WHAT: NAME not found;
  ///         REMEDY"; the linker's words when the file is there but cannot be loaded
  DynamicLibrary(std::string name, const std::string& what, const std::string& remedy = "");

  [[nodiscard]] const std::string& name() const { return name_; }

  /// The function called `symbol`, typed by the caller. errors Error{kUnavailable} when absent
  template <typename Function>
  [[nodiscard]] Function* Get(const char* symbol) const {
    return reinterpret_cast<Function*>(Find(symbol));
  }
  /// The same; null when absent, for functions that only newer versions have.
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
