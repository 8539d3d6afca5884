// SPDX-License-Identifier: Apache-2.0
// Kernel variants.
#include "core/error.h"
#include "db/database.h"
#include "db/store.h"

namespace dbsp::db {
namespace {

std::optional<int> IntOrNull(const Statement& rows, int column) {
  if (rows.IsNull(column)) return std::nullopt;
  return rows.Int(column);
}

}  // namespace

void Store::UpsertKernel(const KernelVariant& kernel) {
  const bool known = !kernel.list || *kernel.list == "blocks" || *kernel.list == "keys";
  if (kernel.name.empty() || !known) {
    Fail(ErrorCode::kInvalidArgument,
         "kernel '{}': expected a name and lists of blocks or keys, found '{}'",
         kernel.name,
         kernel.list.value_or(""));
  }
  std::optional<int> deterministic;
  if (kernel.deterministic) deterministic = *kernel.deterministic ? 1 : 0;
  connection
      .Prepare(
          "INSERT INTO kernel_variants(name, list, arch, head_dim, q_block, k_block, tile_m, "
          "tile_n, stages, threads, shared_bytes, deterministic) "
          "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(name) DO UPDATE SET "
          "list = excluded.list, arch = excluded.arch, head_dim = excluded.head_dim, "
          "q_block = excluded.q_block, k_block = excluded.k_block, tile_m = excluded.tile_m, "
          "tile_n = excluded.tile_n, stages = excluded.stages, threads = excluded.threads, "
          "shared_bytes = excluded.shared_bytes, deterministic = excluded.deterministic")
      .Bind(kernel.name)
      .Bind(kernel.list)
      .Bind(kernel.arch)
      .Bind(kernel.head_dim)
      .Bind(kernel.q_block)
      .Bind(kernel.k_block)
      .Bind(kernel.tile_m)
      .Bind(kernel.tile_n)
      .Bind(kernel.stages)
      .Bind(kernel.threads)
      .Bind(kernel.shared_bytes)
      .Bind(deterministic)
      .Run();
}

void Database::AddKernel(const KernelVariant& kernel) {
  Transaction transaction(store_->connection);
  store_->UpsertKernel(kernel);
  transaction.Commit();
}

std::vector<KernelVariant> Database::Kernels() const {
  std::vector<KernelVariant> found;
  Statement rows = store_->connection.Prepare(
      "SELECT name, list, arch, head_dim, q_block, k_block, tile_m, tile_n, stages, threads, "
      "shared_bytes, deterministic FROM kernel_variants ORDER BY name");
  while (rows.Step()) {
    KernelVariant kernel;
    kernel.name = rows.Text(0);
    if (!rows.IsNull(1)) kernel.list = rows.Text(1);
    int column = 2;
    for (std::optional<int>* field : {&kernel.arch,
                                      &kernel.head_dim,
                                      &kernel.q_block,
                                      &kernel.k_block,
                                      &kernel.tile_m,
                                      &kernel.tile_n,
                                      &kernel.stages,
                                      &kernel.threads,
                                      &kernel.shared_bytes}) {
      *field = IntOrNull(rows, column++);
    }
    if (const auto flag = IntOrNull(rows, column)) kernel.deterministic = *flag != 0;
    found.push_back(std::move(kernel));
  }
  return found;
}

}  // namespace dbsp::db
