// SPDX-License-Identifier: Apache-2.0
// Uses an installed dbsp: a ring of three on a dense mask is balanced.
#include <cstdio>
#include <filesystem>
#include <memory>

#include "db/database.h"
#include "planner/placement/families.h"
#include "planner/timeline/barrier.h"

int main() {
  const dbsp::AttentionShape shape{2, 64, 3 * 128, {128, 128}};
  const auto mask = std::make_shared<const dbsp::BlockMask>(dbsp::BlockMask::Full(3, 3));
  const dbsp::LayerMasks masks{{mask, mask}};
  const auto home = dbsp::MakeHomeLayout(shape, 3);
  const auto partition =
      dbsp::planner::MakePartition(dbsp::Family::kRing, shape, masks, 3, 1, 3, home);
  const double rho = dbsp::planner::BarrierRho(masks, partition);
  std::printf("rho %.3f\n", rho);
  const auto path = std::filesystem::temp_directory_path() / "dbsp_consumer.db";
  std::filesystem::remove(path);
  { const auto database = dbsp::db::Database::Open(path, dbsp::db::OpenMode::kCreate); }
  if (!std::filesystem::remove(path)) return 2;
  return rho == 1.0 ? 0 : 1;
}
