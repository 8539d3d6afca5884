// SPDX-License-Identifier: Apache-2.0
// Kernels of users: shared libraries with the C interface of kernels/kernel_plugin.h. Their kernels
// become rows of the table of kernels/attention.h (docs/design/0032).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/plugin_facts.h"
#include "kernels/attention.h"
#include "kernels/kernel_plugin.h"

namespace dbsp::kernels {

/// Most kernels of one plugin, and of all plugins of a process.
inline constexpr int kMostPluginKernels = 64;

/// One kernel of a plugin.
struct PluginKernel {
  std::string id;  ///< NAME@VERSION#HASH (core/plugin_facts.h)
  std::string file;  ///< as named by the user, for messages
  std::uint32_t index = 0;  ///< in the plugin's table
  std::uint32_t mask_form = DBSP_MASK_CSR;
  std::uint32_t flags = 0;
  int head_dim = 0;  ///< 0: any; also of the blocks
  int q_block = 0;
  int k_block = 0;
  double max_relative_error = 0;  ///< declared; 0: none
  const dbsp_kernel_plugin_table* table = nullptr;

  [[nodiscard]] bool Has(std::uint32_t flag) const { return (flags & flag) != 0; }
};

/// Memory for the text of a plugin's failure.
class PluginErrorText {
 public:
  [[nodiscard]] const dbsp_kernel_error* get() const { return &error_; }
  [[nodiscard]] std::string text() const {
    return text_[0] == 0 ? "the plugin gives no reason" : text_.data();
  }

 private:
  std::array<char, 1024> text_{};
  dbsp_kernel_error error_{text_.size() - 1, text_.data()};  // the last byte stays 0
};

/// Checks a plugin's table and asks for the facts of its kernels. No kernel runs.
/// file    name for messages; its content gives the hash
/// errors  Error{kInvalidArgument} with the file, the field, the value found and the expected one,
///         for another ABI, a struct that is too short, a missing function, and facts that
///         contradict each other; Error{kUnavailable} for a kernel that needs a GPU
[[nodiscard]] std::vector<PluginKernel> KernelsOfTable(const dbsp_kernel_plugin_table* table,
                                                       const std::string& file);

/// Adds the kernels of plugins to the CPU's table. A file that was added before is skipped. Call it
/// before the process starts threads that use the table.
/// files   paths of shared libraries; "python:FILE" only where UsePluginTable() has added it
/// errors  Error{kNotFound} or Error{kIo} as RequireRegularFile; Error{kUnavailable} with the
///         linker's text when a library cannot be loaded; Error{kInvalidArgument} without the
///         exported function, for a name that another plugin has, and as KernelsOfTable
void UsePlugins(std::span<const std::string> files);

/// Adds the kernels of a table in this process's memory, under the value of a flag --kernels.
/// errors  as UsePlugins
void UsePluginTable(const dbsp_kernel_plugin_table* table, const std::string& file);
/// errors  those of RequireRegularFile, with the flag
void RequirePluginFile(const std::string& flag);
[[nodiscard]] bool IsPluginUsed(const std::string& file);  ///< it was added

/// The kernels of all plugins that were added, in their order. owns  static storage
[[nodiscard]] std::vector<const PluginKernel*> PluginKernels();

[[nodiscard]] PluginFacts FactsOf(const PluginKernel& kernel);

/// A prepared call: one shape and mask, launched several times.
/// threads  one at a time
class PluginCall {
 public:
  /// Calls the plugin's prepare with the mask in the kernel's form.
  /// args    the tensors are not used. With several heads the list has heads * q_blocks rows
  /// errors  Error{kMeasurement} with the plugin's text; Error{kInvalidArgument} for a shape that
  ///         the kernel does not take; Error{kUnavailable} for a short block that is not the last,
  ///         unless the kernel takes it
  PluginCall(const PluginKernel& kernel, const AttentionArgs& args, int heads);
  ~PluginCall();
  PluginCall(const PluginCall&) = delete;
  PluginCall& operator=(const PluginCall&) = delete;

  /// Heads follow each other in all tensors. lse is not written by a kernel without log-sum-exp.
  /// errors  Error{kMeasurement} with the plugin's text
  void Launch(const float* q, const float* k, const float* v, float* o, float* lse) const;

  [[nodiscard]] std::int64_t prepare_ns() const { return prepare_ns_; }

 private:
  const PluginKernel* kernel_;
  void* state_ = nullptr;
  int head_dim_ = 0;
  std::int64_t q_rows_ = 0;  ///< of one head
  std::int64_t k_rows_ = 0;
  std::int64_t prepare_ns_ = 0;
};

}  // namespace dbsp::kernels
