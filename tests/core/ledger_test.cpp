// SPDX-License-Identifier: Apache-2.0
#include "core/ledger.h"

#include <gtest/gtest.h>

namespace dbsp {
namespace {

Segment Replayed(SegmentKind kind, std::int64_t ns, std::optional<std::int64_t> predicted_ns) {
  Segment segment{.kind = kind, .duration_ns = ns};
  segment.predicted_ns = predicted_ns;
  return segment;
}

/// Two cells that stand for three and one cells of the plan.
ReplayRecord TwoCells() {
  ReplayCell many;
  many.multiplicity = 3;
  many.predicted_ns = 100;
  many.replayed_ns = 150;
  many.segments = {Replayed(SegmentKind::kAttention, 120, 100),
                   Replayed(SegmentKind::kAttention, 80, 60),
                   Replayed(SegmentKind::kHop, 7, std::nullopt)};
  ReplayCell one;
  one.multiplicity = 1;
  one.predicted_ns = 10;
  one.replayed_ns = 5;
  one.segments = {Replayed(SegmentKind::kAttention, 20, 40)};
  ReplayRecord replay;
  replay.cells = {many, one};
  return replay;
}

TEST(LedgerTest, SumsEverySegmentTimesTheMultiplicityOfItsCell) {
  const Ledger ledger = LedgerOf(TwoCells());
  const LedgerEntry& attention = ledger[static_cast<int>(SegmentKind::kAttention)];
  EXPECT_EQ(attention.segments, 3);
  EXPECT_EQ(attention.predicted_ns, 3 * 160 + 40);
  EXPECT_EQ(attention.replayed_ns, 3 * 200 + 20);
  EXPECT_EQ(attention.error_ns(), 100);
  EXPECT_DOUBLE_EQ(attention.relative_error().value(), 100.0 / 520);
  EXPECT_EQ(attention.unpredicted_segments, 0);
}

TEST(LedgerTest, SegmentsWithoutPredictionAreApart) {
  const Ledger ledger = LedgerOf(TwoCells());
  const LedgerEntry& hop = ledger[static_cast<int>(SegmentKind::kHop)];
  EXPECT_EQ(hop.segments, 0);
  EXPECT_EQ(hop.replayed_ns, 0);
  EXPECT_EQ(hop.unpredicted_segments, 1);
  EXPECT_EQ(hop.unpredicted_ns, 21);
  EXPECT_EQ(hop.relative_error(), std::nullopt);
}

TEST(LedgerTest, TimesThatASerialReplayCopiesFromThePlanHaveNoError) {
  ReplayRecord replay = TwoCells();
  replay.cells[0].segments.push_back(Replayed(SegmentKind::kExchange, 50, 50));
  replay.transport = "threads";
  const auto exchange = [&] { return LedgerOf(replay)[static_cast<int>(SegmentKind::kExchange)]; };
  EXPECT_EQ(exchange().error_ns(), 0);
  EXPECT_EQ(MeasuredPart(LedgerOf(replay)).predicted_ns, 3 * (160 + 50) + 40);
  replay.transport = "serial";
  EXPECT_FALSE(exchange().measured);
  EXPECT_EQ(exchange().error_ns(), std::nullopt);
  EXPECT_EQ(exchange().relative_error(), std::nullopt);
  EXPECT_EQ(exchange().predicted_ns, 150);
  const LedgerEntry measured = MeasuredPart(LedgerOf(replay));
  EXPECT_EQ(measured.predicted_ns, 3 * 160 + 40);
  EXPECT_DOUBLE_EQ(measured.relative_error().value(), 100.0 / 520);
  for (const SegmentKind kind :
       {SegmentKind::kPack, SegmentKind::kAttention, SegmentKind::kMerge}) {
    EXPECT_TRUE(IsMeasured("serial", kind));
  }
  EXPECT_FALSE(IsMeasured("serial", SegmentKind::kHop));
  EXPECT_TRUE(IsMeasured("nccl", SegmentKind::kHop));
}

TEST(LedgerTest, TotalsAreMakespansTimesMultiplicity) {
  const ReplayTotals totals = TotalsOf(TwoCells());
  EXPECT_EQ(totals.cells_meant, 4);
  EXPECT_EQ(totals.predicted_ns, 310);
  EXPECT_EQ(totals.replayed_ns, 455);
}

TEST(LedgerTest, ACellOfUnknownMultiplicityCountsOnce) {
  ReplayRecord replay = TwoCells();
  replay.cells[0].multiplicity.reset();
  EXPECT_EQ(TotalsOf(replay).cells_meant, std::nullopt);
  EXPECT_EQ(TotalsOf(replay).replayed_ns, 155);
  EXPECT_EQ(LedgerOf(replay)[static_cast<int>(SegmentKind::kAttention)].replayed_ns, 220);
}

TEST(LedgerTest, RelativeErrorsArePositiveWhenTheReplayTookLonger) {
  EXPECT_DOUBLE_EQ(RelativeError(4, 5).value(), 0.25);
  EXPECT_DOUBLE_EQ(RelativeError(5, 4).value(), -0.2);
  EXPECT_EQ(RelativeError(0, 5), std::nullopt);
}

}  // namespace
}  // namespace dbsp
