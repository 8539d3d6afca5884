// SPDX-License-Identifier: Apache-2.0
#include "kernels/plugin.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <deque>
#include <filesystem>

#include "core/error.h"
#include "core/file.h"
#include "runtime/dynamic_library.h"

namespace dbsp::kernels {
namespace {

/// Bytes of the structs of the first version; later versions append fields.
constexpr std::size_t kTableBytes = sizeof(dbsp_kernel_plugin_table);
constexpr std::size_t kInfoBytes = sizeof(dbsp_kernel_info);
constexpr std::uint32_t kKnownFlags = DBSP_KERNEL_LSE | DBSP_KERNEL_DETERMINISTIC |
                                      DBSP_KERNEL_GRAPH_SAFE | DBSP_KERNEL_QUANTISING |
                                      DBSP_KERNEL_SM_LIMIT | DBSP_KERNEL_VARIABLE_BLOCKS;

bool IsName(const char* text, std::size_t longest) {
  if (text == nullptr) return false;
  const std::size_t length = ::strnlen(text, longest + 1);
  return length >= 1 && length <= longest && std::all_of(text, text + length, [](char c) {
           return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-';
         });
}

std::string Shown(const char* text) {
  return text == nullptr ? "none" : fmt::format("'{:.64}'", text);
}

void CheckTable(const dbsp_kernel_plugin_table* table, const std::string& file) {
  if (table == nullptr) {
    Fail(ErrorCode::kInvalidArgument,
         "--kernels {}: {}() returned null, expected a table",
         file,
         DBSP_KERNEL_PLUGIN_SYMBOL);
  }
  // The size and the ABI are the first two fields in every version.
  if (table->size < offsetof(dbsp_kernel_plugin_table, info)) {
    Fail(
        ErrorCode::kInvalidArgument,
        "--kernels {}: the plugin's table has {} bytes, expected {} or more; set its field size to "
        "sizeof(dbsp_kernel_plugin_table)",
        file,
        table->size,
        kTableBytes);
  }
  if (table->abi != DBSP_KERNEL_ABI) {
    Fail(ErrorCode::kInvalidArgument,
         "--kernels {}: the plugin was compiled for ABI {}, expected {}; compile it with this "
         "version's dbsp/kernel_plugin.h",
         file,
         table->abi,
         DBSP_KERNEL_ABI);
  }
  if (table->size < kTableBytes) {
    Fail(
        ErrorCode::kInvalidArgument,
        "--kernels {}: the plugin's table has {} bytes, expected {} or more; set its field size to "
        "sizeof(dbsp_kernel_plugin_table)",
        file,
        table->size,
        kTableBytes);
  }
  const char* missing = table->info == nullptr      ? "info"
                        : table->prepare == nullptr ? "prepare"
                        : table->launch == nullptr  ? "launch"
                        : table->release == nullptr ? "release"
                                                    : nullptr;
  if (missing != nullptr) {
    Fail(ErrorCode::kInvalidArgument,
         "--kernels {}: the plugin's table has no function {}; all four are needed",
         file,
         missing);
  }
  if (table->kernel_count < 1 || table->kernel_count > kMostPluginKernels) {
    Fail(ErrorCode::kInvalidArgument,
         "--kernels {}: kernel_count is {}, expected 1 to {}",
         file,
         table->kernel_count,
         kMostPluginKernels);
  }
}

/// Checks the facts of a kernel. `where` begins every message: "--kernels FILE: kernel 0".
void CheckInfo(const dbsp_kernel_info& info, const std::string& where) {
  const auto expect = [&](bool good, const char* field, const auto& found, const char* expected) {
    if (good) return;
    Fail(ErrorCode::kInvalidArgument, "{}: {} is {}, expected {}", where, field, found, expected);
  };
  expect(info.size >= kInfoBytes, "the size of its facts", info.size, "that of dbsp_kernel_info");
  expect(IsName(info.name, 64) && !std::string_view(info.name).starts_with("cpu."),
         "name",
         Shown(info.name),
         "1 to 64 letters, digits, '.', '_' and '-' that do not begin with 'cpu.'");
  expect(IsName(info.version, 32),
         "version",
         Shown(info.version),
         "1 to 32 letters, digits, '.', '_' and '-'");
  expect(info.memory <= DBSP_MEMORY_CUDA, "memory", info.memory, "DBSP_MEMORY_HOST or _CUDA");
  const std::uint32_t form = info.mask_form;
  expect(form == DBSP_MASK_CSR || form == DBSP_MASK_PADDED || form == DBSP_MASK_DENSE ||
             form == DBSP_MASK_KEY_CSR,
         "mask_form",
         form,
         "one of DBSP_MASK_CSR, _PADDED, _DENSE and _KEY_CSR");
  expect((info.flags & ~kKnownFlags) == 0, "flags", info.flags, "known flags only");
  expect(info.head_dim >= 0, "head_dim", info.head_dim, "a size, or 0 for any");
  expect(info.q_block >= 0, "q_block", info.q_block, "a size, or 0 for any");
  expect(info.k_block >= 0, "k_block", info.k_block, "a size, or 0 for any");
  const double error = info.max_relative_error;
  expect(std::isfinite(error) && error >= 0 && error < 1,
         "max_relative_error",
         error,
         "0 or more and less than 1");
  expect((info.flags & DBSP_KERNEL_QUANTISING) == 0 || error > 0,
         "max_relative_error",
         error,
         "more than 0, because the kernel quantises");
  if (info.memory == DBSP_MEMORY_CUDA) {
    Fail(ErrorCode::kUnavailable,
         "{}: it computes in GPU memory; this version runs plugin kernels of DBSP_MEMORY_HOST only",
         where);
  }
}

/// All kernels that were added. A deque keeps addresses.
std::deque<PluginKernel>& Added() {
  static std::deque<PluginKernel> added;  // NOLINT: process-wide, filled before threads start
  return added;
}

/// Runs one head without keeping the prepared call, for callers that launch once.
void RunOnce(const PluginKernel& kernel, const AttentionArgs& args) {
  const PluginCall call(kernel, args, 1);
  call.Launch(args.q, args.k, args.v, args.o, args.lse);
}

void AddKernels(std::vector<PluginKernel> kernels) {
  for (PluginKernel& kernel : kernels) {
    for (const PluginKernel& other : Added()) {
      if (PluginNameOf(other.id) != PluginNameOf(kernel.id)) continue;
      Fail(ErrorCode::kInvalidArgument,
           "--kernels {}: kernel {} is also in {}; give one of them another name or version",
           kernel.file,
           PluginNameOf(kernel.id),
           other.file);
    }
    if (Added().size() >= kMostPluginKernels) {
      Fail(ErrorCode::kInvalidArgument,
           "--kernels {}: more than {} kernels in all plugins",
           kernel.file,
           kMostPluginKernels);
    }
    const PluginKernel& added = Added().emplace_back(std::move(kernel));
    AddCpuAttention({.name = added.id,
                     .deterministic = added.Has(DBSP_KERNEL_DETERMINISTIC),
                     .run = [&added](const AttentionArgs& args) { RunOnce(added, args); },
                     .plugin = &added});
  }
}

}  // namespace

std::vector<PluginKernel> KernelsOfTable(const dbsp_kernel_plugin_table* table,
                                         const std::string& file) {
  CheckTable(table, file);
  const std::string hash = PluginFileHash(PluginPathOf(file));
  std::vector<PluginKernel> kernels;
  for (std::uint32_t i = 0; i < table->kernel_count; ++i) {
    const std::string where = fmt::format("--kernels {}: kernel {}", file, i);
    dbsp_kernel_info info{};
    info.size = sizeof(info);
    PluginErrorText error;
    if (table->info(i, &info, error.get()) != 0) {
      Fail(ErrorCode::kInvalidArgument, "{}: info failed: {}", where, error.text());
    }
    CheckInfo(info, where);
    PluginKernel kernel{.id = fmt::format("{}@{}#{}", info.name, info.version, hash),
                        .file = file,
                        .index = i,
                        .mask_form = info.mask_form,
                        .flags = info.flags,
                        .head_dim = info.head_dim,
                        .q_block = info.q_block,
                        .k_block = info.k_block,
                        .max_relative_error = info.max_relative_error,
                        .table = table};
    const bool twice = std::ranges::any_of(
        kernels, [&](const PluginKernel& other) { return other.id == kernel.id; });
    if (twice) {
      Fail(ErrorCode::kInvalidArgument,
           "{}: name '{}' and version '{}' are also those of another kernel of the plugin",
           where,
           info.name,
           info.version);
    }
    kernels.push_back(std::move(kernel));
  }
  return kernels;
}

void UsePlugins(std::span<const std::string> files) {
  for (const std::string& file : files) {
    if (IsPluginUsed(file)) continue;
    if (IsPythonPlugin(file)) {
      Fail(ErrorCode::kInvalidArgument,
           "--kernels {}: one Python file can be used at a time; import the other file in it",
           file);
    }
    RequirePluginFile(file);
    // A name without a folder would be searched by the linker.
    const runtime::DynamicLibrary library(
        std::filesystem::absolute(file).string(),
        fmt::format("--kernels {}: not a loadable library", file));
    using Exported = const dbsp_kernel_plugin_table*();
    auto* const exported = library.TryGet<Exported>(DBSP_KERNEL_PLUGIN_SYMBOL);
    if (exported == nullptr) {
      Fail(ErrorCode::kInvalidArgument,
           "--kernels {}: the library exports no function {}; see dbsp/kernel_plugin.h",
           file,
           DBSP_KERNEL_PLUGIN_SYMBOL);
    }
    AddKernels(KernelsOfTable(exported(), file));
  }
}

void UsePluginTable(const dbsp_kernel_plugin_table* table, const std::string& file) {
  if (!IsPluginUsed(file)) AddKernels(KernelsOfTable(table, file));
}

void RequirePluginFile(const std::string& flag) {
  try {
    RequireRegularFile(PluginPathOf(flag));
  } catch (const Error& error) {
    Fail(error.code(), "--kernels {}", error.what());
  }
}

bool IsPluginUsed(const std::string& file) {
  return std::ranges::any_of(Added(), [&](const PluginKernel& k) { return k.file == file; });
}

std::vector<const PluginKernel*> PluginKernels() {
  std::vector<const PluginKernel*> kernels;
  for (const PluginKernel& kernel : Added()) kernels.push_back(&kernel);
  return kernels;
}

PluginFacts FactsOf(const PluginKernel& kernel) {
  return {.lse = kernel.Has(DBSP_KERNEL_LSE),
          .quantising = kernel.Has(DBSP_KERNEL_QUANTISING),
          .max_relative_error = kernel.max_relative_error,
          .file = std::filesystem::path(PluginPathOf(kernel.file)).filename().string()};
}

}  // namespace dbsp::kernels
