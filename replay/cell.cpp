// SPDX-License-Identifier: Apache-2.0
#include "replay/cell.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>

#include "core/error.h"
#include "core/units.h"
#include "planner/workload/token_layout.h"

namespace dbsp::replay {
namespace {

constexpr std::int64_t kFloat = sizeof(float);

std::int64_t KvBytes(const Cell& cell, const planner::RankSchedule& schedule) {
  std::int64_t most = 0;
  for (const auto& heads : schedule.columns) {
    std::int64_t tokens = cell.shape.block.k;  // slack: see RankBuffers::kv_elements
    for (const planner::HeadColumns& head : heads) {
      for (const int col : head.cols)
        tokens += 2 * static_cast<std::int64_t>(cell.shape.k_tokens(col));
    }
    most = std::max(most, tokens);
  }
  const int buffers = cell.chunked() ? cell.schedule.steps : cell.schedule.steps > 1 ? 2 : 1;
  return most * cell.shape.head_dim * kFloat * buffers;
}

/// Lists of active blocks: one int per (head, row, column) computed, over all ring steps.
std::int64_t ListBytes(const Cell& cell, std::size_t rank) {
  std::int64_t blocks = 0;
  for (const auto& step : cell.volumes.attention) blocks += step[rank].active_blocks;
  return blocks * static_cast<std::int64_t>(sizeof(int));
}

std::int64_t RankBytes(const Cell& cell, int rank) {
  const planner::RankSchedule& schedule = cell.schedule.rank[rank];
  std::int64_t slots = 0;
  for (const planner::HeadRows& head : schedule.heads) {
    slots += static_cast<std::int64_t>(head.rows.size());
  }
  const std::int64_t row_tensors = cell.is_ring() ? 3 : 2;  // Q, O, partial O
  std::int64_t bytes =
      slots * cell.shape.block.q * (row_tensors * cell.shape.head_dim + row_tensors - 1) * kFloat;
  bytes += KvBytes(cell, schedule) + ListBytes(cell, static_cast<std::size_t>(rank));
  std::int64_t send = 0;
  std::int64_t recv = 0;
  for (std::size_t r = 0; r < cell.volumes.rounds.size(); ++r) {
    const planner::TrafficMatrix& round = cell.volumes.rounds[r];
    if (cell.chunked()) {  // chunks are exchanged at the same time
      send += round.Packed(rank);
      recv += round.Unpacked(rank);
      continue;
    }
    send = std::max(send, round.Packed(rank));
    recv = std::max(recv, round.Unpacked(rank));
    const bool last =
        static_cast<int>(r) + 1 == cell.rounds_before() || static_cast<int>(r) + 1 == cell.rounds();
    if (!last) bytes += round.Unpacked(rank);
  }
  return bytes + send + recv;
}

std::optional<std::int64_t> ReadNumber(const std::string& path) {
  std::ifstream file(path);
  std::int64_t value = 0;
  if (file >> value) return value;
  return std::nullopt;  // absent, or "max"
}

}  // namespace

Cell MakeCell(const AttentionShape& shape,
              const LayerMasks& masks,
              const Partition& partition,
              const Strategy& strategy,
              const InputKey& key,
              const TokenLayout& layout) {
  if (masks.heads() != shape.heads) {
    Fail(ErrorCode::kMismatch, "masks of {} heads for a shape of {}", masks.heads(), shape.heads);
  }
  for (const BlockMaskPtr& mask : masks.head) {
    if (mask->rows() != shape.q_blocks() || mask->cols() != shape.k_blocks()) {
      Fail(ErrorCode::kMismatch,
           "a mask of {} x {} blocks for a shape of {} x {}",
           mask->rows(),
           mask->cols(),
           shape.q_blocks(),
           shape.k_blocks());
    }
  }
  Cell cell;
  cell.shape = shape;
  cell.masks = planner::Permuted(masks, layout, shape);
  cell.given = masks;
  cell.strategy = strategy;
  cell.home = MakeHomeLayout(shape, partition.ranks);
  cell.schedule = planner::BuildSchedule(shape, cell.masks, partition, strategy, cell.home);
  cell.volumes =
      planner::BuildLayerVolumes(shape, cell.masks, partition, strategy, cell.home, key.dtype);
  cell.key = key;
  if (!layout.block_order.empty()) {
    cell.key.order = std::make_shared<const planner::TokenOrder>(layout, shape);
  }
  return cell;
}

std::int64_t HomeBytes(const AttentionShape& shape, DType dtype) {
  return 4 * shape.tokens * shape.heads * shape.head_dim * BytesOf(dtype);
}

std::int64_t CellBytes(const Cell& cell) {
  std::int64_t bytes = HomeBytes(cell.shape);
  for (int rank = 0; rank < cell.ranks(); ++rank) bytes += RankBytes(cell, rank);
  return bytes;
}

std::int64_t ReferenceBytes(const AttentionShape& shape, int threads) {
  return 2 * shape.tokens * shape.head_dim * static_cast<std::int64_t>(sizeof(double)) *
         std::min(threads, shape.heads);
}

std::optional<std::int64_t> AvailableMemory() {
  std::optional<std::int64_t> available;
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    std::int64_t kib = 0;
    if (words >> name >> kib && name == "MemAvailable:") available = kib * 1024;
  }
  const auto limit = ReadNumber("/sys/fs/cgroup/memory.max");
  const auto used = ReadNumber("/sys/fs/cgroup/memory.current");
  if (limit && used) {
    const std::int64_t left = std::max<std::int64_t>(0, *limit - *used);
    available = std::min(available.value_or(left), left);
  }
  return available;
}

void RequireMemory(std::int64_t bytes, std::optional<std::int64_t> available) {
  if (!available || bytes <= *available) return;
  Fail(ErrorCode::kUnavailable,
       "replaying this cell needs {:.1f} GB of memory for all ranks together, but {:.1f} GB are "
       "available; make a smaller workload (dbsp-workload make --tokens, --grid, --heads or "
       "--head-dim) and tune it again; --cells does not help: cells run one at a time",
       static_cast<double>(bytes) / kBytesPerGb,
       static_cast<double>(*available) / kBytesPerGb);
}

}  // namespace dbsp::replay
