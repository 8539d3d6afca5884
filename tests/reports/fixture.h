// SPDX-License-Identifier: Apache-2.0
// A small but complete set of stored records, made by the planner: a workload with random and
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

/// Plan in which every cell has this family and degrees, predicted with linear costs.
[[nodiscard]] Plan UniformPlan(
    const Workload& workload, Family family, int ulysses, int ring, int cfg_degree = 1);

/// Plan with plain ulysses in layer 0 and dbsp U2 R2 in the other layers.
[[nodiscard]] Plan MixedPlan(const Workload& workload);

/// Verified replay in which every cell and segment takes `factor` times the predicted time.
[[nodiscard]] ReplayRecord ReplayOf(const Plan& plan, double factor);

[[nodiscard]] Provenance FixtureProvenance();
[[nodiscard]] std::vector<Trial> FixtureTrials();

/// A dbsp.compare/1 document with the predicted times of the plans.
[[nodiscard]] std::string FixtureCompare(const std::vector<Plan>& plans, const Plan& chosen);

/// Inputs of a report made of all the above: the mixed plan is shown, plain ulysses is a replayed
/// baseline.
[[nodiscard]] ReportInputs FixtureInputs();

/// Writes p.db, plan.json, ulysses.json and compare.json to `folder`.
void WriteFixture(const std::filesystem::path& folder);

/// Writes a plan of 50 steps x 40 layers, every cell with masks and a timeline of its own.
void WriteLargePlan(const std::filesystem::path& file);

}  // namespace dbsp::reports
