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

/// Costs of whole heads are added up in steps of 1 / kGrid heads' rows, up to kSums steps.
constexpr double kGrid = 1024;
constexpr std::size_t kSums = 1 << 16;
/// The bound is found to this part of a head's rows.
constexpr double kStep = 1e-4;
constexpr double kNone = std::numeric_limits<double>::max();

/// Rows of a mask cut down to some columns, their sizes, and of every row the sums of its largest
/// intersections with others.
struct Overlaps {
  Overlaps(const BlockMask& mask, std::span<const std::uint64_t> select)
      : rows(static_cast<std::size_t>(mask.rows())),
        words(select.size()),
        bits(rows * words),
        kept(static_cast<std::size_t>(mask.cols()), 0) {
    for (std::size_t i = 0; i < rows; ++i) {
      const auto row = mask.row(static_cast<int>(i));
      for (std::size_t w = 0; w < words; ++w) {
        bits[i * words + w] = row[w] & select[w];
        for (std::uint64_t left = bits[i * words + w]; left != 0; left &= left - 1) {
          ++kept[w * 64 + static_cast<std::size_t>(std::countr_zero(left))];
        }
      }
      size.push_back(CountBits(Row(i)));
    }
    std::vector<std::int64_t> with(kept.size() + 1);  // rows with as many columns in common
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
  std::vector<std::int64_t> kept;  ///< [column] rows that keep it
  std::vector<std::int64_t> size;  ///< [row]
  std::vector<std::int64_t> most;  ///< [row][n] sum of the n largest, n below rows
};

/// de Caen's bound for the n rows for which it is least.
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

/// LeastColumns of those selected.
std::vector<std::int64_t> LeastOf(const BlockMask& mask, std::span<const std::uint64_t> select) {
  const auto rows = static_cast<std::size_t>(mask.rows());
  std::vector<std::int64_t> least(rows + 1, 0);
  const Overlaps overlaps(mask, select);
  std::vector<std::int64_t> sizes = overlaps.size;
  std::ranges::sort(sizes);
  for (std::size_t n = 1; n <= rows; ++n) {
    // The largest of n rows is no smaller than the n-th smallest of all; a column that more than
    // the other rows keep is needed in any case.
    const auto sure = std::ranges::count_if(overlaps.kept, [&](std::int64_t count) {
      return count > static_cast<std::int64_t>(rows - n);
    });
    least[n] = std::max({least[n - 1], sizes[n - 1], sure, UnionOf(overlaps, n)});
  }
  return least;
}

/// A head's parts: what a rank receives for n rows of it, O that does not come back taken off. 1 is
/// the head's rows.
struct HeadCosts {
  std::vector<double> part;  ///< [rows + 1]
  std::size_t most = 0;  ///< rows that a rank may have within the limit
  double rate = 0;  ///< least cost of a row, in rows' parts: part[n] >= rate * n / rows
  double least = 0;  ///< of all the head's rows together
  /// part[n] - rate * n / rows, least over n in [from, to].
  [[nodiscard]] double Overhead(std::size_t from, std::size_t to) const {
    double least_over = kNone;
    const auto rows = static_cast<double>(part.size() - 1);
    for (std::size_t n = from; n <= to; ++n) {
      least_over = std::min(least_over, part[n] - rate * static_cast<double>(n) / rows);
    }
    return least_over;
  }
};

/// Where rows and columns are at home.
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

/// Could all ranks together take all heads, receiving at most `most` more than they do idle?
class Wholes {
 public:
  Wholes(const std::vector<HeadCosts>& heads, int ranks) : ranks_(ranks) {
    reach_.set(0);
    for (const HeadCosts& head : heads) {
      const std::size_t rows = head.part.size() - 1;
      all_ += head.rate;
      few_ = few_ && head.part[rows] >= 0;
      slack_ += 1 / kGrid;
      reach_ |= reach_ << static_cast<std::size_t>(std::max(0.0, head.part[rows]) * kGrid);
      if (rows > 1) over_ = std::min(over_, head.Overhead(1, rows - 1));
      if (head.most >= rows || head.most == 0) continue;
      const std::size_t share = (rows + static_cast<std::size_t>(ranks) - 1) / ranks;
      if (share <= head.most) forced_ = std::max(forced_, head.Overhead(share, head.most));
    }
    over_ = std::max(0.0, over_);
  }

  [[nodiscard]] bool Take(double most) const {
    const double usual = std::max(Whole(most), most - over_);
    const double one = forced_ > 0 ? std::min(usual, most - forced_) : usual;
    return usual * (ranks_ - 1) + one >= all_;
  }

 private:
  /// Most heads' worth that whole heads within `most` can be.
  [[nodiscard]] double Whole(double most) const {
    if (!few_ || most < 0) return most;
    auto sum = static_cast<std::ptrdiff_t>(std::min(most * kGrid, kSums - 1.0));
    while (sum > 0 && !reach_[sum]) --sum;
    return std::min(most, static_cast<double>(sum) / kGrid + slack_);
  }

  int ranks_;
  double all_ = 0;
  double slack_ = 0;  ///< what rounding down may have taken off a sum
  double over_ = kNone;  ///< what a rank with any part receives more
  double forced_ = 0;  ///< the same of one rank, where a head cannot be whole
  bool few_ = true;  ///< no head makes room for others by being at home: sums rise
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
    sum += 1 + heads.back().least;  // O of all its rows, in parts at home
  }
  const double idle = static_cast<double>(*std::ranges::min_element(homes.rows)) * masks.heads() /
                      static_cast<double>(row_home.size());
  const double mean = sum / ranks;
  const Wholes wholes(heads, ranks);
  double bound = mean - idle;
  if (!wholes.Take(bound)) {
    double enough = bound + 1;
    while (!wholes.Take(enough)) enough += 1;
    while (enough - bound > kStep) {
      const double middle = (bound + enough) / 2;
      (wholes.Take(middle) ? enough : bound) = middle;
    }
  }
  return (idle + bound) * units;
}

}  // namespace dbsp::planner
