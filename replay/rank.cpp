// SPDX-License-Identifier: Apache-2.0
#include "replay/rank.h"

#include <algorithm>
#include <utility>

namespace dbsp::replay {
Rank::Rank(RankBuffers buffers) : buffers_(std::move(buffers)) {
  const AttentionShape& shape = buffers_.cell->shape;
  writes_.resize(Index((buffers_.local_tokens + shape.block.q - 1) / shape.block.q * shape.heads));
}

void Rank::Reset() {
  PoisonMemory();
  std::fill(writes_.begin(), writes_.end(), 0);
  const std::size_t rounds = buffers_.rounds.size();
  const std::size_t steps = buffers_.steps.size();
  executed_ = {.packed_bytes = std::vector<std::int64_t>(rounds, 0),
               .sent_bytes = std::vector<std::int64_t>(rounds, 0),
               .unpacked_bytes = std::vector<std::int64_t>(rounds, 0),
               .hop_bytes = std::vector<std::int64_t>(steps > 0 ? steps - 1 : 0, 0),
               .active_blocks = std::vector<std::int64_t>(steps, 0),
               .merged_rows = std::vector<std::int64_t>(steps, 0)};
}

void Rank::Pack(int round) {
  PackBlocks(round);
  executed_.packed_bytes[Index(round)] +=
      buffers_.Bytes(TokensOf(buffers_.rounds[Index(round)].pack) * buffers_.cell->shape.head_dim);
}

RoundBuffers Rank::ExchangeBuffers(int round) {
  const CopyPlan& copies = buffers_.rounds[Index(round)];
  executed_.sent_bytes[Index(round)] +=
      buffers_.Bytes(copies.SendElements() - copies.send_counts[Index(buffers_.rank)]);
  const RoundBytes& bytes = buffers_.bytes[Index(round)];
  return {.send = SendBytes(buffers_.BufferOf(round)),
          .send_counts = bytes.send_counts,
          .send_offsets = bytes.send_offsets,
          .recv = RecvBytes(buffers_.BufferOf(round)),
          .recv_counts = bytes.recv_counts,
          .recv_offsets = bytes.recv_offsets};
}

void Rank::Unpack(int round) {
  UnpackBlocks(round);
  executed_.unpacked_bytes[Index(round)] += buffers_.Bytes(
      TokensOf(buffers_.rounds[Index(round)].unpack) * buffers_.cell->shape.head_dim);
  if (buffers_.MemoryOf(round, false).memory == RankMemory::kHomeOut) CountWrites(round);
}

void Rank::CountWrites(int round) {
  const AttentionShape& shape = buffers_.cell->shape;
  const std::int64_t row = static_cast<std::int64_t>(shape.heads) * shape.head_dim;
  for (const kernels::CopyItem& item : buffers_.rounds[Index(round)].unpack) {
    const std::int64_t block = item.to / row / shape.block.q;
    const std::int64_t head = item.to % row / shape.head_dim;
    ++writes_[Index(block * shape.heads + head)];
  }
}

void Rank::Attend(int step) {
  if (!has_rows(step)) return;
  RunAttention(step);
  const StepPlan& plan = buffers_.steps[Index(step)];
  for (const std::size_t h : plan.heads) {
    executed_.active_blocks[Index(step)] += static_cast<std::int64_t>(plan.head[h].list.size());
  }
}

void Rank::Merge(int step) {
  if (step == 0 || buffers_.cell->chunked() || !has_rows(step)) return;
  RunMerge(step);
  const StepPlan& plan = buffers_.steps[Index(step)];
  for (const std::size_t h : plan.heads) {
    const HeadCall& call = plan.head[h];
    for (std::size_t r = 0; r < buffers_.slots[h].q_tokens.size(); ++r) {
      if (call.list_begin[r] == call.list_begin[r + 1]) continue;  // adds nothing
      executed_.merged_rows[Index(step)] += buffers_.slots[h].q_tokens[r];
    }
  }
}

HopBuffers Rank::Hop(int step) {
  return {.send = KvBytes(step),
          .dst = buffers_.schedule().ring_prev,
          .recv = KvBytes(step + 1),
          .src = buffers_.schedule().ring_next};
}

void Rank::HopDone(int step) {
  executed_.hop_bytes[Index(step)] += buffers_.Bytes(buffers_.steps[Index(step) + 1].elements);
  OnHop(step + 1);
}

int Rank::Writes(int head, int q_block) const {
  const AttentionShape& shape = buffers_.cell->shape;
  const std::int64_t block = q_block - buffers_.first_token / shape.block.q;
  return writes_[Index(block * shape.heads + head)];
}

}  // namespace dbsp::replay
