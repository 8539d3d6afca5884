// SPDX-License-Identifier: Apache-2.0
#include "reports/exports.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <set>
#include <utility>

#include "core/error.h"
#include "reports/document_parts.h"
#include "tests/core/expect_error.h"
#include "tests/reports/fixture.h"

namespace dbsp::reports {
namespace {

using ::dbsp::testing::ExpectError;
using ::testing::HasSubstr;
using ::testing::Not;

const Table& TableOf(const std::vector<Table>& tables, const std::string& name) {
  return *std::ranges::find(tables, name, &Table::name);
}

std::size_t ColumnOf(const Table& table, const std::string& name) {
  return static_cast<std::size_t>(std::ranges::find(table.columns, name) - table.columns.begin());
}

std::vector<std::string> LinesOf(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

TEST(TablesTest, EveryRowHasAValuePerColumnAndNoColumnIsOfAnUnknownKey) {
  const Json document = MakeDocument(FixtureInputs());
  const std::vector<Table> tables = TablesOf(document);
  EXPECT_EQ(tables.size(), TableNames().size());
  // Members that only some inputs have: none of the fixture's trials is an overlap.
  const std::set<std::string> optional{"timed",
                                       "sm_margin",
                                       "alone_median_ns",
                                       "slowdown",
                                       "cluster",
                                       "device_uuid",
                                       "replayed_ns",
                                       "cores",
                                       "model_error",
                                       "median_error",
                                       "plan"};
  for (const Table& table : tables) {
    for (const auto& row : table.rows) ASSERT_EQ(row.size(), table.columns.size()) << table.name;
    for (std::size_t i = 0; i < table.columns.size(); ++i) {
      if (table.rows.empty() || optional.contains(table.columns[i])) continue;
      if (table.name == "candidates") continue;  // the fixture's document has few members
      EXPECT_TRUE(
          std::ranges::any_of(table.rows, [&](const auto& row) { return !row[i].is_null(); }))
          << table.name << "." << table.columns[i];
    }
  }
}

TEST(TablesTest, ValuesAreThoseOfTheDocument) {
  const Json document = MakeDocument(FixtureInputs());
  const std::vector<Table> tables = TablesOf(document);
  const Json& plan = document["plans"][0];
  const Table& plans = TableOf(tables, "plans");
  EXPECT_EQ(plans.rows.at(0).at(ColumnOf(plans, "predicted_ms")), plan["verdict"]["predicted_ms"]);
  const Table& cells = TableOf(tables, "cells");
  EXPECT_EQ(cells.rows.size(), plan["cells"]["step"].size());
  EXPECT_EQ(cells.rows.at(1).at(ColumnOf(cells, "strategy")), "dbsp U2xR2");
  std::size_t segments = 0;
  for (const Json& shown : plan["shown"]) {
    segments += shown["predicted"]["rank"].size();
    for (const Json& replayed : shown["replayed"]) segments += replayed["segments"]["rank"].size();
  }
  EXPECT_EQ(TableOf(tables, "segments").rows.size(), segments);
  EXPECT_EQ(TableOf(tables, "trials").rows.size(), document["trials"].size());
}

TEST(TablesTest, ADocumentWithoutPlansHasTheSameTables) {
  ReportInputs inputs;
  inputs.database_name = "p.db";
  const std::vector<Table> tables = TablesOf(MakeDocument(inputs));
  EXPECT_EQ(tables.size(), TableNames().size());
  for (const Table& table : tables) {
    EXPECT_FALSE(table.columns.empty());
    // The queries of a database do not depend on plans.
    EXPECT_EQ(table.rows.empty(), table.name != "queries") << table.name;
  }
}

TEST(CsvTest, QuotesWhatNeedsItAndKeepsOneRowPerLine) {
  const Table table{"t", {"a", "b_ms"}, {{"x,\"y\"", 1.5}, {"line\nbreak \x1b[31m", nullptr}}};
  EXPECT_EQ(CsvText(table), "a,b_ms\r\n\"x,\"\"y\"\"\",1.5\r\nline\\nbreak \\u001b[31m,\r\n");
}

TEST(MarkdownTest, IsAShortCommentWithTheVerdictTheTimesAndTheNextCommand) {
  const Json document = MakeDocument(FixtureInputs());
  const std::string text = MarkdownText(document, "dbsp report: a <b> @everyone");
  EXPECT_LE(LinesOf(text).size(), static_cast<std::size_t>(kMostMarkdownLines));
  EXPECT_THAT(text, HasSubstr("### dbsp report: a &lt;b\\> &#64;everyone\n"));
  EXPECT_THAT(text, HasSubstr("| plain ulysses |"));
  EXPECT_THAT(text, HasSubstr("| this plan |"));
  EXPECT_THAT(text, HasSubstr("dbsp U2xR2 in 4 of 6 cells"));
  EXPECT_THAT(text, HasSubstr("\nNext: "));
}

TEST(MarkdownTest, ManyPlansAndHostileNamesStayShortAndHarmless) {
  ReportInputs inputs = FixtureInputs();
  inputs.plans[0].name = "a|b\n# [x](http://evil) `rm` @all";
  for (int i = 0; i < 30; ++i) inputs.plans.push_back(inputs.plans[0]);
  const std::string text = MarkdownText(MakeDocument(inputs), "title");
  EXPECT_LE(LinesOf(text).size(), static_cast<std::size_t>(kMostMarkdownLines));
  EXPECT_THAT(text, HasSubstr("the first of 31 plans"));
  EXPECT_THAT(text, Not(HasSubstr("http://")));
  EXPECT_THAT(text, Not(HasSubstr("@all")));
  EXPECT_THAT(text, Not(HasSubstr("a|b")));
}

TEST(MarkdownTest, WithoutAPlanItSaysWhatThereIs) {
  ReportInputs inputs;
  inputs.database_name = "p.db";
  const std::string text = MarkdownText(MakeDocument(inputs), "dbsp report: p.db");
  EXPECT_THAT(text, HasSubstr("0 trials, 0 plans, 0 replays"));
  EXPECT_THAT(text, HasSubstr("dbsp-tune --workload WORKLOAD --db p.db"));
}

struct Slice {
  std::int64_t start = 0;
  std::int64_t end = 0;
};

/// Complete events of a trace by process and thread, in file order, after checks of their form.
std::map<std::pair<int, int>, std::vector<Slice>> SlicesOf(const Json& trace) {
  std::map<std::pair<int, int>, std::vector<Slice>> slices;
  std::set<std::pair<int, int>> named;
  const auto ns = [](const Json& us) { return std::llround(us.get<double>() * 1e3); };
  for (const Json& event : trace["traceEvents"]) {
    const int pid = event["pid"];
    const bool complete = event["ph"] == "X";
    EXPECT_TRUE(complete || event["ph"] == "M") << event;
    if (!complete) {
      if (event["name"] == "thread_name") named.insert({pid, event["tid"].get<int>()});
      continue;
    }
    const std::pair key(pid, event["tid"].get<int>());
    EXPECT_TRUE(named.contains(key)) << "a thread without a name: " << event;
    EXPECT_GE(event["ts"].get<double>(), 0);
    EXPECT_GE(event["dur"].get<double>(), 0);
    slices[key].push_back({ns(event["ts"]), ns(event["ts"]) + ns(event["dur"])});
  }
  return slices;
}

/// Perfetto drops slices of a thread that are not in order or overlap without nesting.
void ExpectOrderedAndApart(const std::vector<Slice>& slices) {
  for (std::size_t i = 1; i < slices.size(); ++i) {
    EXPECT_GE(slices[i].start, slices[i - 1].end) << i;
  }
}

TEST(TraceTest, EveryLaneIsInOrderAndNothingOverlaps) {
  const ReportInputs inputs = FixtureInputs();
  const std::vector<ExportFile> files = TraceFiles(inputs);
  ASSERT_EQ(files.size(), 4U);
  for (int rank = 0; rank < 4; ++rank) {
    EXPECT_EQ(files[rank].name, fmt::format("rank{}.json", rank));
    const Json trace = Json::parse(files[rank].text);
    const auto slices = SlicesOf(trace);
    EXPECT_TRUE(slices.contains({2 * rank, 0}));
    EXPECT_TRUE(slices.contains({2 * rank + 1, 0})) << "no replayed process";
    for (const auto& [lane, list] : slices) ExpectOrderedAndApart(list);
    // Equal cells begin at the same time in both processes.
    const auto& predicted = slices.at({2 * rank, 0});
    const auto& replayed = slices.at({2 * rank + 1, 0});
    ASSERT_EQ(predicted.size(), replayed.size());
    for (std::size_t i = 0; i < predicted.size(); ++i) {
      EXPECT_EQ(predicted[i].start, replayed[i].start);
    }
  }
}

TEST(TraceTest, HasEverySegmentOfTheRankOnce) {
  const ReportInputs inputs = FixtureInputs();
  const auto replays = ReplaysOf(inputs, inputs.plans[0]);
  std::size_t expected = 0;
  for (const CellGroup& group : GroupsOf(inputs.plans[0].plan, replays)) {
    const auto of_rank = [](const Segment& s) { return s.rank == 1; };
    expected += static_cast<std::size_t>(std::ranges::count_if(
        inputs.plans[0].plan.predictions[group.cell->prediction].segments, of_rank));
    if (!group.replays.empty()) {
      expected += static_cast<std::size_t>(
          std::ranges::count_if(group.replays.front().cell->segments, of_rank));
    }
  }
  std::size_t found = 0;
  for (const auto& [lane, list] : SlicesOf(Json::parse(TraceFiles(inputs)[1].text))) {
    if (lane.second > 0) found += list.size();
  }
  EXPECT_EQ(found, expected);
}

TEST(TraceTest, SegmentsThatRunAtTheSameTimeGetLanesOfTheirOwn) {
  ReportInputs inputs = FixtureInputs();
  inputs.replays.clear();
  Plan& plan = inputs.plans[0].plan;
  for (Prediction& prediction : plan.predictions) {
    prediction.segments = {{0, SegmentKind::kExchange, 0, 0, 100, 5},
                           {0, SegmentKind::kExchange, 1, 50, 100, 5},
                           {0, SegmentKind::kHop, 0, 100, 10, 5},
                           {0, SegmentKind::kAttention, 0, -30, 80, 0}};
  }
  const auto slices = SlicesOf(Json::parse(TraceFiles(inputs)[0].text));
  ASSERT_TRUE(slices.contains({0, 4}));
  EXPECT_FALSE(slices.contains({0, 6}));
  for (const auto& [lane, list] : slices) ExpectOrderedAndApart(list);
  // A start before the cell's zero moves the cell, so that no time is negative.
  EXPECT_EQ(slices.at({0, 1})[0].start, 0);
  EXPECT_EQ(slices.at({0, 2})[0].start, 30);
}

TEST(TraceTest, NothingToTraceAndTimesBeyond64BitsAreErrors) {
  ReportInputs inputs;
  ExpectError(ErrorCode::kInvalidArgument, {"no plan to trace"}, [&] { (void)TraceFiles(inputs); });
  inputs = FixtureInputs();
  inputs.replays.clear();
  for (Prediction& p : inputs.plans[0].plan.predictions) p.segments.clear();
  ExpectError(
      ErrorCode::kInvalidArgument, {"no plan has a timeline"}, [&] { (void)TraceFiles(inputs); });
  inputs = FixtureInputs();
  inputs.plans[0].plan.predictions[0].segments[0].duration_ns = INT64_MAX;
  ExpectError(ErrorCode::kCorruptInput, {inputs.plans[0].name}, [&] { (void)TraceFiles(inputs); });
}

TEST(TraceTest, FilesOfSeveralPlansHaveNamesOfTheirOwn) {
  ReportInputs inputs = FixtureInputs();
  inputs.plans.push_back(inputs.plans[0]);
  const std::vector<std::string> names = TraceNames(inputs);
  EXPECT_EQ(names.size(), 8U);
  EXPECT_EQ(names.front(), "plan1-rank0.json");
  EXPECT_EQ(names.back(), "plan2-rank3.json");
  const std::vector<ExportFile> files = TraceFiles(inputs);
  for (std::size_t i = 0; i < names.size(); ++i) EXPECT_EQ(files.at(i).name, names[i]);
}

}  // namespace
}  // namespace dbsp::reports
