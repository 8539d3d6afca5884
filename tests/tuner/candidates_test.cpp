// SPDX-License-Identifier: Apache-2.0
#include "tuner/candidates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/core/expect_error.h"
#include "tests/tuner/scored_result.h"

namespace dbsp::tuner {
namespace {

using dbsp::testing::ExpectError;

TEST(ParseFamiliesTest, AutoIsEveryFamily) {
  EXPECT_EQ(ParseFamilies("auto"), SearchableFamilies());
  EXPECT_EQ(ParseFamilies("balanced"), (std::vector<Family>{Family::kBalanced}));
  EXPECT_EQ(ParseFamilies("ring,ulysses,ring"),
            (std::vector<Family>{Family::kRing, Family::kUlysses}));
}

TEST(ParseFamiliesTest, RefusesUnknownFamiliesWithTheNearestName) {
  ExpectError(ErrorCode::kInvalidArgument, {"rign", "nearest known: 'ring'"}, [] {
    (void)ParseFamilies("ulysses,rign");
  });
  ExpectError(ErrorCode::kInvalidArgument, {"family"}, [] { (void)ParseFamilies(""); });
}

TEST(MakeCandidatesTest, CoversEveryDegreeOfEveryFamilyOnce) {
  const auto candidates = MakeCandidates(SearchableFamilies(), 8, 40, "k");
  std::vector<std::string> names;
  for (const Candidate& candidate : candidates) {
    names.push_back(NameOfCandidate(candidate));
    EXPECT_EQ(candidate.strategy.ulysses_degree * candidate.strategy.ring_degree, 8);
    EXPECT_EQ(candidate.strategy.kernel, "k");
  }
  EXPECT_EQ(names,
            (std::vector<std::string>{"ulysses U8",
                                      "ring R8",
                                      "usp U8xR1",
                                      "usp U4xR2",
                                      "usp U2xR4",
                                      "usp U1xR8",
                                      "dbsp U8xR1",
                                      "dbsp U4xR2",
                                      "dbsp U2xR4",
                                      "dbsp U1xR8",
                                      "balanced U8xR1",
                                      "balanced U4xR2",
                                      "balanced U2xR4",
                                      "balanced U1xR8",
                                      "placed U8xR1"}));
  EXPECT_FALSE(MakeCandidates(SearchableFamilies(), 1, 1, "").empty());
  EXPECT_FALSE(MakeCandidates(SearchableFamilies(), 3, 2, "").empty());
}

TEST(MakeCandidatesTest, WithPassesOnSeparateRanksDegreesMultiplyToAPassGroup) {
  std::vector<std::string> names;
  for (const Candidate& candidate :
       MakeCandidates(SearchableFamilies(), 6, 40, "k", {.cfg_degree = 2})) {
    names.push_back(NameOfCandidate(candidate));
    EXPECT_EQ(candidate.strategy.cfg_degree, 2);
    EXPECT_EQ(candidate.strategy.ulysses_degree * candidate.strategy.ring_degree, 3);
  }
  EXPECT_EQ(names,
            (std::vector<std::string>{"ulysses C2 U3",
                                      "ring C2 R3",
                                      "usp C2 U3xR1",
                                      "usp C2 U1xR3",
                                      "dbsp C2 U3xR1",
                                      "dbsp C2 U1xR3",
                                      "balanced C2 U3xR1",
                                      "balanced C2 U1xR3",
                                      "placed C2 U3xR1"}));
  // Two ranks leave one rank per pass, so there are no exchanges and no chunks.
  EXPECT_EQ(
      MakeCandidates({Family::kUlysses}, 2, 8, "", {.chunks = {1, 2}, .cfg_degree = 2}).size(), 1U);
}

TEST(ParseCfgDegreesTest, AutoTakesWhatDividesPassesAndRanks) {
  using Degrees = std::vector<int>;
  EXPECT_EQ(ParseCfgDegrees("auto", 8, 2), (Degrees{1, 2}));
  EXPECT_EQ(ParseCfgDegrees("auto", 8, 1), (Degrees{1}));
  EXPECT_EQ(ParseCfgDegrees("auto", 3, 2), (Degrees{1}));
  EXPECT_EQ(ParseCfgDegrees("2,1,2", 6, 2), (Degrees{1, 2}));
  EXPECT_EQ(ParseCfgDegrees("2", 6, 2), (Degrees{2}));
  ExpectError(ErrorCode::kInvalidArgument, {"--cfg-degrees 1,2", "2 passes", "3 ranks"}, [] {
    (void)ParseCfgDegrees("1,2", 3, 2);
  });
  ExpectError(ErrorCode::kInvalidArgument, {"--cfg-degrees 2", "1 pass "}, [] {
    (void)ParseCfgDegrees("2", 8, 1);
  });
  for (const char* bad : {"", "0", "two", "1,", "-2", "2.0", "3"}) {
    ExpectError(
        ErrorCode::kInvalidArgument, {"--cfg-degrees"}, [&] { (void)ParseCfgDegrees(bad, 8, 2); });
  }
}

TEST(MayFlipTest, SharedErrorsCancelAndOppositeOnesDoNot) {
  // Faster in compute and in exchange: no error of a shared rate changes the order, although the
  // intervals of the totals overlap.
  EXPECT_FALSE(MayFlip(MakeScore(110, 55, 0.25, 0), MakeScore(100, 50, 0.25, 1)));
  // Gains 20 of compute for 15 of exchange: rates that are wrong by a quarter change the order.
  EXPECT_TRUE(MayFlip(MakeScore(120, 50, 0.25, 0), MakeScore(100, 65, 0.25, 1)));
  EXPECT_FALSE(MayFlip(MakeScore(120, 50, 0.05, 0), MakeScore(100, 65, 0.05, 1)));
  // A difference of less than one percent is ignored whatever the intervals are.
  EXPECT_TRUE(MayFlip(MakeScore(1005, 0, 0.0, 0), MakeScore(1000, 0, 0.0, 1)));
}

TEST(ChooseTest, KeepsTheUniformStrategyOnlyWhereTheOrderMayFlip) {
  const std::vector<Candidate> two(2);
  Choice choice = Choose(two, {MakeScore(1005, 0, 0.1, 0), MakeScore(1000, 0, 0.1, 1)}, 0);
  EXPECT_EQ(choice.best, 1);
  EXPECT_EQ(choice.chosen, 0);
  EXPECT_TRUE(choice.close);
  choice = Choose(two, {MakeScore(1500, 0, 0.1, 0), MakeScore(1000, 0, 0.1, 1)}, 0);
  EXPECT_EQ(choice.chosen, 1);
  EXPECT_FALSE(choice.close);
  // Of equal totals the uniform candidate is chosen. The same partition in another family does not
  // make the choice close.
  choice = Choose(two, {MakeScore(1000, 0, 0.1, 0), MakeScore(1000, 0, 0.1, 0)}, 1);
  EXPECT_EQ(choice.chosen, 1);
  EXPECT_FALSE(choice.close);
}

TEST(ChooseTest, IsNeverWorseThanAnyCandidateUsedEverywhere) {
  for (unsigned seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    std::uniform_int_distribution<std::int64_t> ns(1000, 3000);
    std::vector<Candidate> candidates(5);
    candidates[seed % 5].excluded = "for this test";
    std::vector<std::vector<Score>> scores(7);
    std::vector<std::int64_t> cells;
    for (auto& cls : scores) {
      for (int i = 0; i < 5; ++i) cls.push_back(MakeScore(ns(random), ns(random), 0.2, i));
      cells.push_back(1 + static_cast<std::int64_t>(random() % 9));
    }
    const int uniform = BestUniform(candidates, scores, cells);
    std::int64_t chosen = 0;
    std::vector<std::int64_t> everywhere(5, 0);
    for (std::size_t c = 0; c < scores.size(); ++c) {
      const Choice choice = Choose(candidates, scores[c], uniform);
      ASSERT_NE(choice.chosen, static_cast<int>(seed % 5)) << "an excluded candidate was chosen";
      chosen += cells[c] * scores[c][choice.chosen].total_ns;
      for (std::size_t i = 0; i < 5; ++i) everywhere[i] += cells[c] * scores[c][i].total_ns;
    }
    for (std::size_t i = 0; i < 5; ++i) {
      if (i == seed % 5) continue;
      EXPECT_LE(chosen, everywhere[i]);
      EXPECT_LE(everywhere[uniform], everywhere[i]);
    }
  }
}

TEST(BestUniformTest, GivesTheReasonWhenEveryCandidateIsExcluded) {
  std::vector<Candidate> candidates{MakeCandidate(Family::kRing, 1, 4)};
  candidates[0].excluded = "no hop between 4 ranks was measured";
  ExpectError(ErrorCode::kNotFound, {"ring R4", "no hop"}, [&] {
    (void)BestUniform(candidates, {{Score{}}}, {1});
  });
}

}  // namespace
}  // namespace dbsp::tuner
