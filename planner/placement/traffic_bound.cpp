// SPDX-License-Identifier: Apache-2.0
#include "planner/placement/traffic_bound.h"

#include <algorithm>
#include <bit>
#include <bitset>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/error.h"
#include "planner/workload/mask_counts.h"
#include "planner/workload/popcount.h"

namespace dbsp::planner {
namespace {

/// Costs of whole heads are added in steps of 1 / kStepsPerHead of a head's rows, up to kSums
/// steps.
constexpr double kStepsPerHead = 1024;
constexpr std::size_t kSums = 1 << 16;
/// Accuracy of the bound, as a fraction of a head's rows.
constexpr double kAccuracy = 1e-4;
constexpr double kNone = std::numeric_limits<double>::max();

/// Rows of a mask restricted to some columns, their sizes, and for every row the sums of its
/// largest intersections with other rows.
struct Overlaps {
  Overlaps(const BlockMask& mask, std::span<const std::uint64_t> select)
      : rows(static_cast<std::size_t>(mask.rows())),
        words(select.size()),
        bits(rows * words),
        needed_by(static_cast<std::size_t>(mask.cols()), 0) {
    for (std::size_t i = 0; i < rows; ++i) {
      const auto row = mask.row(static_cast<int>(i));
      for (std::size_t w = 0; w < words; ++w) {
        bits[i * words + w] = row[w] & select[w];
        for (std::uint64_t left = bits[i * words + w]; left != 0; left &= left - 1) {
          ++needed_by[w * 64 + static_cast<std::size_t>(std::countr_zero(left))];
        }
      }
      size.push_back(CountBits(Row(i)));
    }
    std::vector<std::int64_t> with(needed_by.size() +
                                   1);  // [count] rows with that many columns in common
    for (std::size_t i = 0; i < rows; ++i) {
      std::ranges::fill(with, 0);
      for (std::size_t j = 0; j < rows; ++j) {
        if (j != i) ++with[CountBits(Row(i), Row(j))];
      }
      most.push_back(0);
      for (std::size_t common = with.size(); common-- > 0;) {
        for (std::int64_t n = 0; n < with[common]; ++n) {
          most.push_back(most.back() + static_cast<std::int64_t>(common));
        }
      }
    }
  }
  [[nodiscard]] std::span<const std::uint64_t> Row(std::size_t i) const {
    return std::span(bits).subspan(i * words, words);
  }

  std::size_t rows;
  std::size_t words;
  std::vector<std::uint64_t> bits;  ///< [row][word]
  std::vector<std::int64_t> needed_by;  ///< [column] rows that need it
  std::vector<std::int64_t> size;  ///< [row]
  std::vector<std::int64_t> most;  ///< [row][n] sum of the n largest intersections, n below rows
};

/// de Caen's bound for the n rows that minimize it.
std::int64_t UnionOf(const Overlaps& overlaps, std::size_t n) {
  std::vector<double> terms;
  for (std::size_t i = 0; i < overlaps.rows; ++i) {
    const auto size = static_cast<double>(overlaps.size[i]);
    const auto common = static_cast<double>(overlaps.most[i * overlaps.rows + n - 1]);
    terms.push_back(size > 0 ? size * size / (size + common) : 0);
  }
  const auto end = terms.begin() + static_cast<std::ptrdiff_t>(n);
  if (n < terms.size()) std::nth_element(terms.begin(), end, terms.end());
  return static_cast<std::int64_t>(std::ceil(std::accumulate(terms.begin(), end, 0.0) - 1e-6));
}

/// LeastColumns of the selected columns.
std::vector<std::int64_t> LeastOf(const BlockMask& mask, std::span<const std::uint64_t> select) {
  const auto rows = static_cast<std::size_t>(mask.rows());
  std::vector<std::int64_t> least(rows + 1, 0);
  const Overlaps overlaps(mask, select);
  std::vector<std::int64_t> sizes = overlaps.size;
  std::ranges::sort(sizes);
  for (std::size_t n = 1; n <= rows; ++n) {
    // The largest of n rows is at least as large as the n-th smallest of all rows. A column that
    // more rows need than are left out is needed in any case.
    const auto sure = std::ranges::count_if(overlaps.needed_by, [&](std::int64_t count) {
      return count > static_cast<std::int64_t>(rows - n);
    });
    least[n] = std::max({least[n - 1], sizes[n - 1], sure, UnionOf(overlaps, n)});
  }
  return least;
}

/// Volume that a rank receives for a part of a head, O that does not come back subtracted. 1 is one
/// head's rows.
struct HeadCosts {
  std::vector<double> part;  ///< [rows + 1]
  std::size_t most = 0;  ///< largest number of rows of a rank within the limit
  double rate = 0;  ///< least cost per row: part[n] >= rate * n / rows
  double least = 0;  ///< cost of all rows in the cheapest division
  /// Minimum of part[n] - rate * n / rows over n in [from, to].
  [[nodiscard]] double Overhead(std::size_t from, std::size_t to) const {
    double least_over = kNone;
    const auto rows = static_cast<double>(part.size() - 1);
    for (std::size_t n = from; n <= to; ++n) {
      least_over = std::min(least_over, part[n] - rate * static_cast<double>(n) / rows);
    }
    return least_over;
  }
};

/// Homes of rows and columns.
struct Homes {
  std::vector<std::int64_t> rows;  ///< [rank] rows at home there
  std::vector<std::vector<std::uint64_t>> away;  ///< [rank][word] columns at home elsewhere
};

Homes HomesOf(std::span<const int> row_home, std::span<const int> col_home, int ranks) {
  const auto parts = static_cast<std::size_t>(ranks);
  Homes homes{std::vector<std::int64_t>(parts, 0),
              std::vector(parts, std::vector<std::uint64_t>((col_home.size() + 63) / 64, 0))};
  for (const int rank : row_home) ++homes.rows[rank];
  for (std::size_t j = 0; j < col_home.size(); ++j) {
    for (std::size_t p = 0; p < parts; ++p) {
      if (col_home[j] != static_cast<int>(p)) homes.away[p][j / 64] |= 1ULL << (j % 64);
    }
  }
  return homes;
}

HeadCosts CostsOf(const BlockMask& mask, const Homes& homes, double limit) {
  const auto rows = static_cast<std::size_t>(mask.rows());
  HeadCosts costs{std::vector<double>(rows + 1, kNone), 0, kNone, 0};
  costs.part[0] = 0;
  for (std::size_t p = 0; p < homes.rows.size(); ++p) {
    const std::vector<std::int64_t> columns = LeastOf(mask, homes.away[p]);
    for (std::size_t n = 1; n <= rows; ++n) {
      const auto own = std::min(static_cast<std::int64_t>(n), homes.rows[p]);
      const auto more = static_cast<double>(static_cast<std::int64_t>(n) - 2 * own);
      const double part =
          2 * static_cast<double>(columns[n]) / mask.cols() + more / static_cast<double>(rows);
      costs.part[n] = std::min(costs.part[n], part);
    }
  }
  for (std::size_t n = 1; n <= rows; ++n) {
    costs.rate =
        std::min(costs.rate, costs.part[n] * static_cast<double>(rows) / static_cast<double>(n));
  }
  std::vector<std::int32_t> loads = RowCounts(mask);
  std::ranges::sort(loads);
  double load = 0;
  while (costs.most < rows && (load += loads[costs.most]) <= limit) ++costs.most;
  const std::size_t most = std::max<std::size_t>(1, costs.most);
  std::vector<double> least(rows + 1, 0);
  for (std::size_t n = 1; n <= rows; ++n) {
    least[n] = kNone;
    for (std::size_t part = 1; part <= std::min(n, most); ++part) {
      least[n] = std::min(least[n], costs.part[part] + least[n - part]);
    }
  }
  costs.least = least[rows];
  return costs;
}

/// Whether all ranks together can take all heads if each receives at most a given volume more than
/// without work.
class WholeHeadSums {
 public:
  WholeHeadSums(const std::vector<HeadCosts>& heads, int ranks) : ranks_(ranks) {
    reach_.set(0);
    for (const HeadCosts& head : heads) {
      const std::size_t rows = head.part.size() - 1;
      all_ += head.rate;
      rising_ = rising_ && head.part[rows] >= 0;
      slack_ += 1 / kStepsPerHead;
      reach_ |= reach_ << static_cast<std::size_t>(std::max(0.0, head.part[rows]) * kStepsPerHead);
      if (rows > 1) over_ = std::min(over_, head.Overhead(1, rows - 1));
      if (head.most >= rows || head.most == 0) continue;
      const std::size_t share = (rows + static_cast<std::size_t>(ranks) - 1) / ranks;
      if (share <= head.most) forced_ = std::max(forced_, head.Overhead(share, head.most));
    }
    over_ = std::max(0.0, over_);
  }

  [[nodiscard]] bool Fits(double most) const {
    const double usual = std::max(Whole(most), most - over_);
    const double one = forced_ > 0 ? std::min(usual, most - forced_) : usual;
    return usual * (ranks_ - 1) + one >= all_;
  }

 private:
  /// Largest volume of whole heads within `most`.
  [[nodiscard]] double Whole(double most) const {
    if (!rising_ || most < 0) return most;
    auto sum = static_cast<std::ptrdiff_t>(std::min(most * kStepsPerHead, kSums - 1.0));
    while (sum > 0 && !reach_[sum]) --sum;
    return std::min(most, static_cast<double>(sum) / kStepsPerHead + slack_);
  }

  int ranks_;
  double all_ = 0;
  double slack_ = 0;  ///< largest rounding error of a sum
  double over_ = kNone;  ///< additional volume of a rank with a part
  double forced_ = 0;  ///< the same for one rank if a head cannot be whole
  bool rising_ = true;  ///< no head has a negative volume, so sums only rise
  std::bitset<kSums> reach_;
};

}  // namespace

std::vector<std::int64_t> LeastColumns(const BlockMask& mask) {
  return LeastOf(mask, std::vector<std::uint64_t>(mask.words_per_row(), ~std::uint64_t{0}));
}

double MaxTrafficLowerBound(const LayerMasks& masks,
                            std::span<const int> row_home,
                            std::span<const int> col_home,
                            int ranks,
                            double limit) {
  DBSP_CHECK(masks.heads() > 0 && ranks >= 1);
  const double units = static_cast<double>(row_home.size()) * static_cast<double>(col_home.size());
  if (units == 0) return 0;
  const Homes homes = HomesOf(row_home, col_home, ranks);
  std::vector<HeadCosts> heads;
  double sum = 0;
  for (const auto& mask : masks.head) {
    heads.push_back(CostsOf(*mask, homes, limit));
    sum += 1 + heads.back().least;  // 1 is O of all its rows
  }
  const double idle = static_cast<double>(*std::ranges::min_element(homes.rows)) * masks.heads() /
                      static_cast<double>(row_home.size());
  const double mean = sum / ranks;
  const WholeHeadSums sums(heads, ranks);
  double bound = mean - idle;
  if (!sums.Fits(bound)) {
    double enough = bound + 1;
    while (!sums.Fits(enough)) enough += 1;
    while (enough - bound > kAccuracy) {
      const double middle = (bound + enough) / 2;
      (sums.Fits(middle) ? enough : bound) = middle;
    }
  }
  return (idle + bound) * units;
}

}  // namespace dbsp::planner
