// SPDX-License-Identifier: Apache-2.0
// Masks of a workload, made per (step, layer) on demand.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/block_mask.h"
#include "core/fine_mask.h"
#include "core/workload.h"

namespace dbsp::planner {

/// Holds at most a few layers. Masks that repeat (dense, radial, equal STA windows) are the same
/// object for the lifetime of the source.
class MaskSource {
 public:
  virtual ~MaskSource() = default;
  /// Masks of all heads, each of q_blocks x k_blocks of the workload's shape.
  /// requires 0 <= step < model.steps, 0 <= layer < model.layers
  /// errors   Error{kCorruptInput, kMismatch, kNotFound} if a referenced file is bad or missing
  /// threads  safe concurrently
  [[nodiscard]] virtual LayerMasks At(int step, int layer) = 0;
  /// Equal keys mean equal masks, which are not made. "" if only the masks can tell.
  [[nodiscard]] virtual std::string KeyAt(int step, int layer) const = 0;
  /// Active blocks of each head of At(step, layer). Makes no masks if the rule knows the counts.
  /// errors  as At; threads safe concurrently
  [[nodiscard]] virtual std::vector<std::int64_t> ActiveBlocksAt(int step, int layer);
  /// Queries per list of single keys of the cell's rule, 64 or 128; 0 if the cell has block masks
  /// only. The block masks of a cell with lists are derived from them (BlocksOfFine).
  [[nodiscard]] virtual int FineQueriesAt(int step, int layer) const;
  /// Lists of single keys of all heads, as bits. requires FineQueriesAt(step, layer) > 0
  /// errors  as At; threads safe concurrently
  [[nodiscard]] virtual FineMasks FineAt(int step, int layer);
  /// What FineAt(step, layer) keeps. Needs less memory where the rule makes one head at a time.
  /// requires FineQueriesAt(step, layer) > 0. errors  as At; threads safe concurrently
  [[nodiscard]] virtual FineCounts FineCountsAt(int step, int layer);
  /// Whether the cell has classes of sparse-linear attention (SLA). At() then gives the critical
  /// blocks, which exact attention computes.
  [[nodiscard]] virtual bool HasMarginalAt(int step, int layer) const;
  /// The marginal blocks, which linear attention computes. Blocks that are neither critical nor
  /// marginal are negligible. requires HasMarginalAt(step, layer). errors  as At; threads safe
  /// concurrently
  [[nodiscard]] virtual LayerMasks MarginalAt(int step, int layer);
  /// What a rule of the workload read and assumed, one sentence per line (RuleMasks::Describe).
  /// requires rule < Workload::rules.size(). errors  as At
  [[nodiscard]] virtual std::vector<std::string> Describe(std::size_t rule) const;
};

/// Masks of guidance pass `pass`, or without it those that all passes share: where the passes
/// differ, At() and ActiveBlocksAt() throw Error{kInvalidArgument} that says how to plan one pass.
/// requires 0 <= pass < model.passes
[[nodiscard]] std::unique_ptr<MaskSource> OpenMasks(const Workload& workload,
                                                    std::optional<int> pass = std::nullopt);

/// True if the guidance passes have masks of their own in some cell.
[[nodiscard]] bool PassesDiffer(const Workload& workload);

/// errors  Error{kInvalidArgument} if a mask has more blocks than 2^32 - 1
void RequireBlockLimit(const Workload& workload);

/// False if only the counts of the rule's masks are real and their block positions come from a seed
/// (random, vsa, density). requires a rule from ApplyMaskFlag or ReadWorkload. errors
/// Error{kInvalidArgument} with the nearest known rule
[[nodiscard]] bool PositionsAreReal(const MaskRule& rule);

}  // namespace dbsp::planner
