// SPDX-License-Identifier: Apache-2.0
// Packed parts of the page against the document: an independent reader gives the same columns.
#include "reports/page_data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <map>
#include <numeric>

#include "core/base64.h"
#include "core/json.h"
#include "reports/document.h"
#include "tests/reports/fixture.h"

namespace dbsp::reports {
namespace {

using testing::HasSubstr;

std::string Gunzip(const std::string& packed) {
  std::string out(1U << 24U, '\0');
  z_stream stream{};
  EXPECT_EQ(inflateInit2(&stream, 15 + 16), Z_OK);
  std::string input = packed;
  stream.next_in = reinterpret_cast<Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  inflateEnd(&stream);
  return out;
}

class Reader {
 public:
  explicit Reader(std::string bytes) : bytes_(std::move(bytes)) {}
  std::int64_t Next() {
    std::uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes_.at(at_++));
      value |= std::uint64_t{byte & 127U} << shift;
      if (byte < 128) return static_cast<std::int64_t>(value);
    }
  }
  std::int64_t Signed() {
    const std::int64_t value = Next();
    return value % 2 == 0 ? value / 2 : -(value + 1) / 2;
  }
  std::string Take(std::int64_t size) {
    at_ += static_cast<std::size_t>(size);
    return bytes_.substr(at_ - static_cast<std::size_t>(size), static_cast<std::size_t>(size));
  }
  [[nodiscard]] bool done() const { return at_ == bytes_.size(); }

 private:
  std::string bytes_;
  std::size_t at_ = 0;
};

/// Checks the timelines of a stream, in order, against columns of the document.
void ExpectSame(const std::string& stream, const std::vector<Json>& timelines) {
  Reader head(stream);
  std::array<std::int64_t, 7> lengths{};
  for (std::int64_t& length : lengths) length = head.Next();
  std::vector<Reader> columns;
  for (const std::int64_t length : lengths) columns.emplace_back(head.Take(length));
  EXPECT_TRUE(head.done());
  for (const Json& expected : timelines) {
    std::map<std::pair<std::int64_t, bool>, std::int64_t> ends;
    std::array<std::int64_t, 6> durations{}, bytes{};
    for (std::size_t i = 0; i < expected["rank"].size(); ++i) {
      const std::int64_t rank = columns[0].Next();
      const std::int64_t kind = columns[1].Next();
      const bool link = kind == 1 || kind == 4;
      const std::int64_t gap = columns[3].Signed();
      const std::int64_t start = ends[{rank, (columns[3].Next() == 1) != link}] + gap;
      const auto k = static_cast<std::size_t>(kind);
      durations.at(k) += columns[4].Signed();
      bytes.at(k) += columns[5].Signed();
      ends[{rank, link}] = start + durations.at(k);
      ASSERT_EQ(expected["rank"][i], rank);
      ASSERT_EQ(expected["kind"][i], kind);
      ASSERT_EQ(expected["index"][i], columns[2].Next());
      ASSERT_EQ(expected["start_ns"][i], start);
      ASSERT_EQ(expected["duration_ns"][i], durations.at(k));
      ASSERT_EQ(expected["bytes"][i], bytes.at(k));
      const std::int64_t slow = columns[6].Next();
      const bool known = expected.contains("alone_ns") && !expected["alone_ns"][i].is_null();
      ASSERT_EQ(slow > 0, known);
      if (known) {
        ASSERT_EQ(expected["alone_ns"][i], durations.at(k) - (slow - 1));
      }
    }
  }
  for (const Reader& column : columns) EXPECT_TRUE(column.done());
}

std::vector<Json> TimelinesOf(const Json& plan) {
  std::vector<Json> out;
  for (const Json& cell : plan["shown"]) {
    if (!cell["predicted"].is_null()) out.push_back(cell["predicted"]);
    for (const Json& replay : cell["replayed"]) out.push_back(replay["segments"]);
  }
  return out;
}

const PageStream* StreamOf(const PageData& page, const std::string& id) {
  const auto found = std::ranges::find(page.streams, id, &PageStream::id);
  return found == page.streams.end() ? nullptr : &*found;
}

TEST(PageDataTest, ASmallDocumentStaysAsItIs) {
  const ReportInputs inputs = FixtureInputs();
  const PageData page = ReportPage(inputs);
  EXPECT_EQ(page.json, ReportDocument(inputs));
  EXPECT_TRUE(page.streams.empty());
}

TEST(PageDataTest, ALargeOneKeepsItsTimelinesAndMasksInStreams) {
  ReportInputs inputs = FixtureInputs();
  std::int64_t slower = 0;
  for (Prediction& prediction : inputs.plans[0].plan.predictions) {
    for (Segment& segment : prediction.segments) {
      if (segment.kind == SegmentKind::kAttention)
        segment.alone_ns = segment.duration_ns - ++slower;
    }
  }
  const Json document = Json::parse(ReportDocument(inputs));
  const PageData page = ReportPage(inputs, {}, 0);
  const Json packed = Json::parse(page.json);
  const PageStream* segments = StreamOf(page, "dbsp-segments-0");
  ASSERT_NE(segments, nullptr);
  ExpectSame(Gunzip(segments->bytes), TimelinesOf(document["plans"][0]));
  const PageStream* masks = StreamOf(page, "dbsp-masks-0");
  ASSERT_NE(masks, nullptr);
  EXPECT_EQ(Base64Encode(Gunzip(masks->bytes)), document["plans"][0]["masks"]["bits"]);
  EXPECT_TRUE(packed["plans"][0]["masks"]["bits"].is_null());
  std::size_t first = 0;
  for (const Json& place : TimelinesOf(packed["plans"][0])) {
    EXPECT_EQ(place["first"], first);
    first += place["count"].get<std::size_t>();
  }
  EXPECT_GT(first, 0U);
}

TEST(PageDataTest, WhatDoesNotFitIsLeftOutAndCellsSaySo) {
  const ReportInputs inputs = FixtureInputs();
  const std::size_t whole = ReportPage(inputs, {}, 0).streams.back().bytes.size() * 4 / 3;
  const PageData none = ReportPage(inputs, {}, 0, 0);
  const Json nothing = Json::parse(none.json)["plans"][0];
  EXPECT_EQ(StreamOf(none, "dbsp-segments-0"), nullptr);
  for (const Json& cell : nothing["shown"]) {
    EXPECT_TRUE(cell["predicted"].is_null());
    EXPECT_THAT(cell["timeline_missing"].get<std::string>(), HasSubstr("size limit"));
  }
  // Room for half of the timelines: those of the first cells, which take most time, stay.
  std::size_t fixed = none.json.size();
  for (const PageStream& stream : none.streams) fixed += stream.bytes.size() * 4 / 3;
  bool some = false;
  for (std::size_t budget = 0; budget < fixed + 2 * whole && !some; budget += whole / 8) {
    const Json shown = Json::parse(ReportPage(inputs, {}, 0, budget).json)["plans"][0]["shown"];
    const auto kept =
        std::ranges::count_if(shown, [](const Json& cell) { return !cell["predicted"].is_null(); });
    some = kept > 0 && kept < static_cast<std::ptrdiff_t>(shown.size());
    if (some) {
      EXPECT_FALSE(shown[0]["predicted"].is_null());
    }
  }
  EXPECT_TRUE(some);
}

TEST(PageMasksTest, BitsAndOwnersAreThoseOfTheHeaviestCell) {
  const ReportInputs inputs = FixtureInputs();
  const Plan& plan = inputs.plans[0].plan;
  const Json masks = Json::parse(ReportDocument(inputs))["plans"][0]["masks"];
  const auto heaviest = std::ranges::max_element(plan.cells, {}, [&](const PlanCell& cell) {
    return plan.predictions[cell.prediction].total_ns;
  });
  EXPECT_EQ(masks["step"], heaviest->step);
  EXPECT_EQ(masks["layer"], heaviest->layer);
  EXPECT_TRUE(masks["made_up"].get<bool>()) << "random masks";
  const std::string bits = *Base64Decode(masks["bits"].get<std::string>());
  const auto rows = masks["q_blocks"].get<std::size_t>();
  const auto width = (masks["k_blocks"].get<std::size_t>() + 7) / 8;
  ASSERT_EQ(bits.size(), rows * width * static_cast<std::size_t>(plan.shape.heads));
  std::int64_t active = 0;
  for (const char byte : bits) active += __builtin_popcount(static_cast<unsigned char>(byte));
  const auto& loads = plan.predictions[heaviest->prediction].active_blocks;
  EXPECT_EQ(active, std::accumulate(loads.begin(), loads.end(), std::int64_t{0}));
  std::size_t heads = 0;
  for (const Json& group : masks["groups"]) {
    heads += group["heads"].size();
    std::size_t covered = 0;
    for (std::size_t i = 1; i < group["row_runs"].size(); i += 2) {
      covered += group["row_runs"][i].get<std::size_t>();
    }
    EXPECT_EQ(covered, group["ranks"].size() > 1 ? rows : 0U);
  }
  EXPECT_EQ(heads, static_cast<std::size_t>(plan.shape.heads));
}

TEST(PageMasksTest, MasksThatCannotBeMadeAreSaid) {
  ReportInputs inputs = FixtureInputs();
  ReportLimits limits;
  limits.mask_bytes = 10;
  const Json masks = Json::parse(ReportDocument(inputs, limits))["plans"][0]["masks"];
  EXPECT_THAT(masks["missing"].get<std::string>(), HasSubstr("larger than the page can hold"));
  Workload workload = FixtureWorkload();
  workload.rules[0] = {"array", {{"file", "missing.npy"}}, ""};
  Plan& plan = inputs.plans[0].plan;
  plan.workload_json = WorkloadToJson(workload);
  plan.workload_hash = HashOf(workload);
  const Json gone = Json::parse(ReportDocument(inputs))["plans"][0]["masks"];
  EXPECT_THAT(gone["missing"].get<std::string>(), HasSubstr("The masks cannot be made here"));
}

}  // namespace
}  // namespace dbsp::reports
