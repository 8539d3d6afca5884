// SPDX-License-Identifier: Apache-2.0
// A small but complete set of stored records, made by the real planner: a workload with random and
// dense layers, a mixed plan, plans of plain ulysses and ring, measurements and replays.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/plan.h"
#include "core/records.h"
#include "core/workload.h"
#include "reports/inputs.h"

namespace dbsp::reports {

inline constexpr int kFixtureRanks = 4;

[[nodiscard]] Workload FixtureWorkload();

/// Every cell with this family at (U, R); predictions come from the planner with linear costs.
[[nodiscard]] Plan UniformPlan(
    const Workload& workload, Family family, int ulysses, int ring, int cfg_degree = 1);

/// Layer 0 of every step plain ulysses, the others dbsp U2 R2.
[[nodiscard]] Plan MixedPlan(const Workload& workload);

/// Every cell `factor` times as slow as predicted, verified; segments stretched alike.
[[nodiscard]] ReplayRecord ReplayOf(const Plan& plan, double factor);

[[nodiscard]] Provenance FixtureProvenance();
[[nodiscard]] std::vector<Trial> FixtureTrials();

/// A dbsp.compare/1 document with the plans' own predicted times.
[[nodiscard]] std::string FixtureCompare(const std::vector<Plan>& plans, const Plan& chosen);

/// All of the above as a report reads it, without files: the mixed plan shown, ulysses replayed.
[[nodiscard]] ReportInputs FixtureInputs();

/// p.db, plan.json, ulysses.json, compare.json in `folder`.
void WriteFixture(const std::filesystem::path& folder);

}  // namespace dbsp::reports
