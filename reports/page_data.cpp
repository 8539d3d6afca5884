// SPDX-License-Identifier: Apache-2.0
#include "reports/page_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <utility>

#include "core/base64.h"
#include "core/json.h"
#include "core/strategy.h"
#include "reports/document_parts.h"
#include "reports/html.h"

namespace dbsp::reports {
namespace {

constexpr const char* kLeftOut =
    "This timeline was left out because the page reached its size limit. dbsp-report --json has "
    "it.";

/// Bytes of a gzip stream as base64 in the page.
std::size_t InPage(const std::string& gzip) { return (gzip.size() + 2) / 3 * 4; }

/// Unsigned numbers of 7 bits per byte, the lowest first; the high bit says that more follow.
class Varints {
 public:
  void Add(std::uint64_t value) {
    for (; value >= 128; value >>= 7U) bytes_ += static_cast<char>((value & 127U) | 128U);
    bytes_ += static_cast<char>(value);
  }
  /// Small negative numbers become small odd ones.
  void AddSigned(std::int64_t value) {
    const auto bits = static_cast<std::uint64_t>(value);
    Add(value < 0 ? ~(bits << 1U) : bits << 1U);
  }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

/// The segment columns of all timelines, one after the other, so that equal columns lie together.
class SegmentPacker {
 public:
  /// Appends a timeline.
  void Add(const Json& columns) {
    std::map<std::pair<std::int64_t, bool>, std::int64_t>
        ends;  // (rank, link): end of the last one
    std::array<std::pair<std::int64_t, std::int64_t>, kSegmentKinds> last{};  // duration, bytes
    const bool slowed = columns.contains("alone_ns");
    for (std::size_t i = 0; i < columns["rank"].size(); ++i) {
      const auto at = [&](const char* key) { return columns[key][i].get<std::int64_t>(); };
      const std::int64_t rank = at("rank");
      const std::int64_t kind = at("kind");
      const std::int64_t start = at("start_ns");
      const std::int64_t duration = at("duration_ns");
      const auto name = static_cast<SegmentKind>(kind);
      const bool link = name == SegmentKind::kExchange || name == SegmentKind::kHop;
      // Most segments begin when the one before on the device or on the link of the rank ends.
      std::int64_t& own = ends[{rank, link}];
      const std::int64_t other = ends[{rank, !link}];
      const bool after_other = std::llabs(start - other) < std::llabs(start - own);
      rank_.Add(static_cast<std::uint64_t>(rank));
      kind_.Add(static_cast<std::uint64_t>(kind));
      index_.Add(static_cast<std::uint64_t>(at("index")));
      start_.AddSigned(start - (after_other ? other : own));
      start_.Add(after_other ? 1 : 0);
      own = start + duration;
      auto& [last_duration, last_bytes] = last.at(static_cast<std::size_t>(kind));
      duration_.AddSigned(duration - last_duration);
      bytes_.AddSigned(at("bytes") - last_bytes);
      last_duration = duration;
      last_bytes = at("bytes");
      const bool known = slowed && !columns["alone_ns"][i].is_null();
      // 0: not known; else 1 more than the time by which the segment was slowed.
      const std::int64_t slow = known ? std::max<std::int64_t>(0, duration - at("alone_ns")) : -1;
      alone_.Add(static_cast<std::uint64_t>(slow + 1));
    }
  }
  /// Lengths of the columns as varints, then the columns.
  [[nodiscard]] std::string Bytes() const {
    Varints head;
    std::string body;
    for (const Varints* column : {&rank_, &kind_, &index_, &start_, &duration_, &bytes_, &alone_}) {
      head.Add(column->bytes().size());
      body += column->bytes();
    }
    return head.bytes() + body;
  }

 private:
  Varints rank_, kind_, index_, start_, duration_, bytes_, alone_;
};

/// The timelines of one plan, taken out of its document, by cell.
struct Timelines {
  std::vector<std::vector<Json>> cells;
};

/// Takes the timelines of the shown cells out and leaves their places in the stream.
Timelines TakeTimelines(Json& shown) {
  Timelines out;
  std::size_t first = 0;
  for (Json& cell : shown) {
    std::vector<Json>& taken = out.cells.emplace_back();
    const auto take = [&](Json& columns) {
      const std::size_t count = columns["rank"].size();
      taken.push_back(std::move(columns));
      columns = {{"first", first}, {"count", count}};
      first += count;
    };
    if (!cell["predicted"].is_null()) take(cell["predicted"]);
    for (Json& replay : cell["replayed"]) take(replay["segments"]);
  }
  return out;
}

std::string PackCells(const Timelines& timelines, std::size_t cells) {
  SegmentPacker packer;
  for (std::size_t i = 0; i < cells; ++i) {
    for (const Json& columns : timelines.cells[i]) packer.Add(columns);
  }
  return Gzip(packer.Bytes());
}

/// Number of segments of all timelines.
std::size_t SegmentsOf(const Json& document) {
  std::size_t segments = 0;
  for (const Json& plan : document["plans"]) {
    for (const Json& cell : plan["shown"]) {
      if (!cell["predicted"].is_null()) segments += cell["predicted"]["rank"].size();
      for (const Json& replay : cell["replayed"]) segments += replay["segments"]["rank"].size();
    }
  }
  return segments;
}

struct Packed {
  std::string gzip;
  std::size_t cells = 0;
};

/// The timelines of as many cells as fit into `room`, found with at most four attempts.
Packed Fit(const Timelines& timelines, std::size_t room) {
  Packed packed{{}, timelines.cells.size()};
  for (int attempt = 0; attempt < 4 && packed.cells > 0; ++attempt) {
    packed.gzip = PackCells(timelines, packed.cells);
    const std::size_t size = InPage(packed.gzip);
    if (size <= room) return packed;
    packed.cells = static_cast<std::size_t>(0.97 * static_cast<double>(packed.cells) *
                                            static_cast<double>(room) / static_cast<double>(size));
  }
  return {};
}

void LeaveOut(Json& cell, bool had_timelines) {
  cell["predicted"] = nullptr;
  cell["replayed"] = Json::array();
  if (had_timelines) cell["timeline_missing"] = kLeftOut;
}

}  // namespace

PageData ReportPage(const ReportInputs& inputs,
                    const ReportLimits& limits,
                    std::size_t plain_bytes,
                    std::size_t budget) {
  Json json = MakeDocument(inputs, limits);
  // A segment has at least this many characters, so that many segments need no count of bytes.
  constexpr std::size_t kSegmentText = 12;
  if (SegmentsOf(json) * kSegmentText <= plain_bytes) {
    std::string text = DumpJson(json);
    if (text.size() <= plain_bytes) return {std::move(text), {}};
  }
  std::vector<PageStream> streams;
  std::vector<Timelines> timelines;
  std::size_t used = 0;
  for (std::size_t i = 0; i < json["plans"].size(); ++i) {
    Json& plan = json["plans"][i];
    timelines.push_back(TakeTimelines(plan["shown"]));
    Json& masks = plan["masks"];
    if (!masks.contains("bits") || masks["bits"].is_null()) continue;
    std::string gzip = Gzip(Base64Decode(masks["bits"].get<std::string>()).value());
    used += InPage(gzip);
    masks["bits"] = nullptr;
    streams.push_back({fmt::format("dbsp-masks-{}", i), std::move(gzip)});
  }
  // The document without timelines is measured first, so that they get the rest.
  used += InPage(Gzip(DumpJson(json)));
  for (std::size_t i = 0; i < timelines.size(); ++i) {
    const std::size_t room = used < budget ? (budget - used) / (timelines.size() - i) : 0;
    Packed packed = Fit(timelines[i], room);
    Json& shown = json["plans"][i]["shown"];
    for (std::size_t cell = packed.cells; cell < shown.size(); ++cell) {
      LeaveOut(shown[cell], !timelines[i].cells[cell].empty());
    }
    used += InPage(packed.gzip);
    if (packed.cells > 0) {
      streams.push_back({fmt::format("dbsp-segments-{}", i), std::move(packed.gzip)});
    }
  }
  return {DumpJson(json), std::move(streams)};
}

}  // namespace dbsp::reports
