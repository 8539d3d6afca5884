// SPDX-License-Identifier: Apache-2.0
#include "planner/placement/receive_volume_model.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace dbsp::planner {
namespace {

/// Volumes of whole heads are rounded down to multiples of 1 / kSteps.
constexpr double kSteps = 1 << 30;

}  // namespace

ReceiveVolumeModel::ReceiveVolumeModel(std::span<const std::int64_t> totals,
                                       int ranks,
                                       double columns,
                                       std::span<const double> needs)
    : total_(totals.begin(), totals.end()),
      needs_(needs.begin(), needs.end()),
      ranks_(ranks),
      per_column_(1.0 / columns),
      home_(1.0 / ranks),
      away_(1 - home_) {
  for (std::size_t h = 0; h < total_.size(); ++h) {
    per_load_.push_back(total_[h] > 0 ? 1 / total_[h] : 0);
    const double cost = Part(total_[h], static_cast<int>(h));
    whole_.push_back(static_cast<double>(static_cast<std::int64_t>(cost * kSteps)) / kSteps);
  }
}

double ReceiveVolumeModel::Part(double load, int head) const {
  const auto h = static_cast<std::size_t>(head);
  const bool whole = load >= total_[h];
  const double share = load * per_load_[h];
  const double random = load * per_column_;  // mean blocks per column
  double columns = away_ * std::min(1.0, 2 * random / (2 + random));
  if (!needs_.empty()) {
    const double* needs = needs_.data() + h * static_cast<std::size_t>(ranks_ + 1);
    const double homes = share * ranks_;
    const int n = whole ? ranks_ - 1 : std::max(1, static_cast<int>(homes));
    const double more = needs[n + 1] - needs[n];
    const double run = whole ? needs[ranks_] : needs[n] + std::max(0.0, homes - n) * more;
    columns = whole ? run : std::min(columns, run);
  }
  if (whole) return 2 * columns + away_ - home_;
  // The rank receives Q of the rows that are not its own. O of its own rows does not come back.
  return 2 * columns + (share >= home_ ? share - 2 * home_ : -share);
}

double ReceiveVolumeModel::AtHome(int head) const {
  const double columns = needs_[static_cast<std::size_t>(head * (ranks_ + 1)) + 1];
  return static_cast<double>(static_cast<std::int64_t>((2 * columns - home_) * kSteps)) / kSteps;
}

double ReceiveVolumeModel::SplitLowerBound(const std::vector<bool>& at_home) const {
  double mean = Idle();
  double placed = 0;
  double more = std::numeric_limits<double>::max();  // volume of two halves beyond the whole head
  for (int head = 0; head < static_cast<int>(heads()); ++head) {
    if (!at_home.empty() && at_home[head]) {
      mean += AtHome(head);
      continue;
    }
    placed += home_;
    mean += Whole(head) * home_;
    more = std::min(more, 2 * Part(0.5 * Total(head), head) - Whole(head));
  }
  return mean + more * (1 - (placed - std::floor(placed)));
}

}  // namespace dbsp::planner
