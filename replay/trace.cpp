// SPDX-License-Identifier: Apache-2.0
#include "replay/trace.h"

#include <fmt/format.h>

#include <system_error>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"

namespace dbsp::replay {
namespace {

constexpr double kNsPerUs = 1e3;
constexpr int kComputeLane = 0;
constexpr int kLinkLane = 1;

bool OnLink(SegmentKind kind) {
  return kind == SegmentKind::kExchange || kind == SegmentKind::kHop;
}

/// Transport first, so that a tool that looks for "nccl" finds communication where NCCL did it.
/// Holistic Trace Analysis takes kernels by category and stream, and tells communication by that
/// name, so with NCCL exchanges are kernels, too.
std::string EventName(const ReplayRecord& record, const Segment& segment) {
  const std::string name = fmt::format("{} {}", NameOf(segment.kind), segment.index);
  return OnLink(segment.kind) ? record.transport + ":" + name : name;
}

Json LaneName(int rank, int lane, const char* name) {
  return {{"ph", "M"},
          {"name", "thread_name"},
          {"pid", rank},
          {"tid", lane},
          {"args", {{"name", name}}}};
}

}  // namespace

std::string ChromeTrace(const ReplayRecord& record, int rank) {
  Json events = Json::array();
  events.push_back({{"ph", "M"},
                    {"name", "process_name"},
                    {"pid", rank},
                    {"args", {{"name", fmt::format("rank {}", rank)}}}});
  events.push_back(LaneName(rank, kComputeLane, "compute and copies"));
  events.push_back(LaneName(rank, kLinkLane, "link"));
  const bool nccl = record.transport == "nccl";
  std::int64_t origin_ns = 0;
  for (const ReplayCell& cell : record.cells) {
    for (const Segment& s : cell.segments) {
      if (s.rank != rank) continue;
      events.push_back({{"ph", "X"},
                        {"name", EventName(record, s)},
                        {"cat", OnLink(s.kind) && !nccl ? "communication" : "kernel"},
                        {"pid", rank},
                        {"tid", OnLink(s.kind) ? kLinkLane : kComputeLane},
                        {"ts", static_cast<double>(origin_ns + s.start_ns) / kNsPerUs},
                        {"dur", static_cast<double>(s.duration_ns) / kNsPerUs},
                        {"args",
                         {{"step", cell.step},
                          {"layer", cell.layer},
                          {"bytes", s.bytes},
                          {"stream", OnLink(s.kind) ? kLinkLane : kComputeLane}}}});
    }
    origin_ns += cell.replayed_ns;
  }
  const Json document = {
      {"displayTimeUnit", "ms"},
      {"distributedInfo", {{"rank", rank}, {"world_size", record.ranks}}},
      {"otherData", {{"exchange_source", record.exchange_source}, {"plan", record.plan_hash}}},
      {"traceEvents", std::move(events)}};
  return DumpJson(document, 1) + "\n";  // indented: some tools want the blank in `"rank": 0`
}

std::vector<std::filesystem::path> TraceFiles(const std::filesystem::path& directory, int ranks) {
  std::vector<std::filesystem::path> files;
  for (int rank = 0; rank < ranks; ++rank) {
    files.push_back(directory / fmt::format("rank{}.json", rank));
  }
  return files;
}

void WriteTraces(const ReplayRecord& record, const std::filesystem::path& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error)
    Fail(ErrorCode::kIo, "{}: cannot make the folder: {}", directory.string(), error.message());
  const auto files = TraceFiles(directory, record.ranks);
  for (int rank = 0; rank < record.ranks; ++rank) {
    WriteFileAtomically(files[rank], ChromeTrace(record, rank));
  }
}

}  // namespace dbsp::replay
