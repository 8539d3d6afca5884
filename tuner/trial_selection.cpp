// SPDX-License-Identifier: Apache-2.0
#include "tuner/trial_selection.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "core/error.h"
#include "core/statistics.h"

namespace dbsp::tuner {
namespace {

bool Usable(const Trial& trial) {
  const auto positive = [](const std::vector<std::int64_t>& samples) {
    return std::all_of(samples.begin(), samples.end(), [](std::int64_t s) { return s > 0; });
  };
  return trial.outcome == TrialOutcome::kOk && !trial.samples_ns.empty() &&
         positive(trial.samples_ns) && positive(trial.alone_ns);
}

/// Median, and the larger distance of the quartiles from it over the median.
std::pair<double, double> MiddleOf(const std::vector<std::int64_t>& samples_ns) {
  const Quartiles q = QuartilesOf(samples_ns);
  return {q.median, std::max(q.third - q.median, q.median - q.first) / q.median};
}

UsableTrial Summarise(const Trial& trial) {
  UsableTrial usable{.trial = &trial};
  std::tie(usable.ns, usable.spread) = MiddleOf(trial.samples_ns);
  if (!trial.alone_ns.empty()) {
    std::tie(usable.alone_ns, usable.alone_spread) = MiddleOf(trial.alone_ns);
  }
  return usable;
}

std::string DeviceName(const Provenance& p) {
  return fmt::format(
      "{} ({}{}{})", p.device_name, p.device_kind, p.device_uuid.empty() ? "" : " ", p.device_uuid);
}

bool SameDevice(const Provenance& a, const Provenance& b) {
  return a.device_kind == b.device_kind && a.device_name == b.device_name &&
         a.device_uuid == b.device_uuid;
}

bool Names(const std::string& wanted, const Provenance& device) {
  return wanted == device.device_kind || wanted == device.device_uuid ||
         device.device_name.find(wanted) != std::string::npos;
}

}  // namespace

TrialSelection SelectTrials(std::span<const db::StoredTrial> trials,
                            std::span<const db::StoredEnvironment> environments,
                            const std::optional<std::string>& device,
                            const std::string& database,
                            const std::string& profile_command) {
  std::map<std::int64_t, const Provenance*> environment;
  for (const auto& stored : environments) environment[stored.id] = &stored.provenance;
  TrialSelection selection;
  const Provenance* chosen = nullptr;
  std::set<std::string> devices;
  std::size_t unusable = 0;
  for (const db::StoredTrial& stored : trials) {
    const auto found = environment.find(stored.environment_id);
    if (!Usable(stored.trial) || found == environment.end()) {
      ++unusable;
      continue;
    }
    devices.insert(DeviceName(*found->second));
    if (!device || Names(*device, *found->second)) chosen = found->second;
  }
  if (devices.empty()) {
    Fail(ErrorCode::kNotFound,
         "{}: no successful trial ({} unusable); measure first: {}",
         database,
         unusable,
         profile_command);
  }
  if (chosen == nullptr) {
    Fail(ErrorCode::kNotFound,
         "{}: no trial of device '{}'; the database has: {}",
         database,
         *device,
         fmt::join(devices, ", "));
  }
  selection.device = *chosen;

  std::map<std::string, std::size_t> newest;  // index into selection.trials, by configuration
  std::size_t repeated = 0;
  for (const db::StoredTrial& stored : trials) {
    const auto found = environment.find(stored.environment_id);
    if (!Usable(stored.trial) || found == environment.end()) continue;
    if (!SameDevice(*found->second, *chosen)) continue;
    const UsableTrial usable = Summarise(stored.trial);
    const auto [entry, fresh] =
        newest.try_emplace(KeyOf(stored.trial.config), selection.trials.size());
    if (fresh) {
      selection.trials.push_back(usable);
    } else {
      selection.trials[entry->second] = usable;
      ++repeated;
    }
  }
  selection.remarks.push_back(
      fmt::format("{}: {} trials of {}", database, selection.trials.size(), DeviceName(*chosen)));
  if (devices.size() > 1) {
    selection.remarks.push_back(
        fmt::format("the database has {} devices ({}); {} was used, --db-device selects another",
                    devices.size(),
                    fmt::join(devices, ", "),
                    !device ? "the one measured last" : "the requested one"));
  }
  if (repeated > 0) {
    selection.remarks.push_back(
        fmt::format("{} older trials of the same configuration were left out", repeated));
  }
  if (unusable > 0) {
    selection.remarks.push_back(fmt::format(
        "{} trials that failed or have a time that is not positive were left out", unusable));
  }
  return selection;
}

}  // namespace dbsp::tuner
