// SPDX-License-Identifier: Apache-2.0
// What a tool says about a plan file that it has read.
#pragma once

#include <fmt/format.h>

#include <string>

#include "core/cli.h"
#include "core/plan.h"

namespace dbsp {

/// Notes on standard error that damage of the file would not be noticed, if it has no hash.
inline void NoteUnhashedPlan(const Plan& plan, const std::string& path) {
  if (plan.hashed) return;
  Progress(fmt::format(
      "note: {}: the plan has no content_hash, so damage of the file would not be noticed", path));
}

}  // namespace dbsp
