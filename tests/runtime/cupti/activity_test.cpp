// SPDX-License-Identifier: Apache-2.0
#include "runtime/cupti/activity.h"

#include <gtest/gtest.h>

namespace dbsp::runtime {
namespace {

using MarkerEvent = ActivityCollector::MarkerEvent;

KernelRecord Kernel(std::int64_t start, std::int64_t end, std::uint32_t correlation) {
  KernelRecord kernel;
  kernel.name = "k";
  kernel.time = {start, end};
  kernel.correlation = correlation;
  return kernel;
}

CopyRecord Copy(std::int64_t start, std::int64_t end, std::uint32_t correlation) {
  CopyRecord copy;
  copy.time = {start, end};
  copy.correlation = correlation;
  copy.bytes = 1000;
  return copy;
}

TEST(ActivityTest, ASegmentMayComeAfterItsRecord) {
  ActivityCollector collector;
  collector.Add(Kernel(200, 300, 5));
  collector.Add(Kernel(100, 150, 6));
  collector.Add(Copy(400, 500, 5));
  collector.AddSegment(5, 77);
  const ActivityTrace trace = collector.Finish();
  ASSERT_EQ(trace.kernels.size(), 2U);
  EXPECT_EQ(trace.kernels[0].segment, std::nullopt);  // by start
  EXPECT_EQ(trace.kernels[1].segment, 77U);
  EXPECT_EQ(trace.copies.at(0).segment, 77U);
  EXPECT_FALSE(trace.losses.any());
  EXPECT_EQ(Describe(trace.losses), "");
}

TEST(ActivityTest, RecordsWithoutTimesAreCountedAndKeptOutOfTheLists) {
  ActivityCollector collector;
  collector.Add(Kernel(0, 0, 1));
  collector.Add(Kernel(10, 0, 1));
  collector.Add(Kernel(20, 10, 1));
  collector.Add(Copy(0, 0, 1));
  collector.Add(MarkerEvent{.id = 1, .start = true, .end = true, .time_ns = 0});
  collector.Add(Kernel(10, 10, 1));
  collector.losses().dropped = 3;
  const ActivityTrace trace = collector.Finish();
  EXPECT_EQ(trace.losses.untimed, 5);
  EXPECT_EQ(trace.kernels.size(), 1U);
  EXPECT_TRUE(trace.copies.empty());
  EXPECT_TRUE(trace.losses.any());
  EXPECT_EQ(Describe(trace.losses), "3 dropped, 5 untimed");
}

TEST(ActivityTest, DevicesAreSeparateAndNcclsKernelsAreRecognisedByName) {
  ActivityCollector collector;
  const auto on = [](auto record, std::uint32_t device, const char* name) {
    record.device = device;
    if constexpr (requires { record.name; }) record.name = name;
    return record;
  };
  collector.Add(on(Kernel(100, 200, 1), 4, "attention"));
  collector.Add(on(Kernel(150, 250, 2), 4, "ncclDevKernel_SendRecv"));
  collector.Add(on(Copy(240, 300, 3), 4, ""));
  collector.Add(on(Kernel(100, 110, 4), 5, "attention"));
  collector.AddSegment(1, 77);
  collector.AddSegment(4, 78);
  const ActivityTrace trace = collector.Finish();
  const auto devices = ByDevice(trace);
  ASSERT_EQ(devices.size(), 2U);
  EXPECT_EQ(devices.at(4).busy_ns, 200);
  EXPECT_EQ(devices.at(4).exchange_ns, 100);
  EXPECT_EQ(devices.at(4).kernels, 2);
  EXPECT_EQ(devices.at(4).copies, 1);
  EXPECT_EQ(devices.at(4).untied, 2);
  EXPECT_EQ(devices.at(5).busy_ns, 10);
  EXPECT_EQ(devices.at(5).untied, 0);
  EXPECT_EQ(BySegment(trace).at(78).device, 5U);
}

TEST(ActivityTest, ASegmentIsBusyForTheUnionOfItsIntervals) {
  ActivityCollector collector;
  collector.Add(Kernel(100, 200, 1));
  collector.Add(Kernel(150, 250, 2));
  collector.Add(Kernel(160, 170, 2));
  collector.Add(Copy(300, 310, 3));
  collector.Add(Kernel(1, 1000, 4));  // of no segment
  for (const std::uint32_t correlation : {1U, 2U, 3U}) collector.AddSegment(correlation, 9);
  const auto segments = BySegment(collector.Finish());
  ASSERT_EQ(segments.size(), 1U);
  const SegmentActivity& activity = segments.at(9);
  EXPECT_EQ(activity.span.start_ns, 100);
  EXPECT_EQ(activity.span.end_ns, 310);
  EXPECT_EQ(activity.busy_ns, 150 + 10);
  EXPECT_EQ(activity.kernels, 3);
  EXPECT_EQ(activity.copies, 1);
  EXPECT_EQ(activity.copied_bytes, 1000);
}

TEST(ActivityTest, MarkersArePairedAndGetTheSegmentOfTheirCalls) {
  ActivityCollector collector;
  const auto range = [&](std::uint32_t id, std::int64_t from, std::int64_t to, const char* name) {
    collector.Add(MarkerEvent{.id = id, .end = true, .time_ns = to, .thread = 4});
    collector.Add(MarkerEvent{.id = id, .start = true, .time_ns = from, .thread = 4, .name = name});
  };
  range(1, 100, 200, "one segment");
  range(2, 100, 400, "two segments");
  range(3, 500, 600, "no calls");
  range(4, 300, 410, "a call of no segment");
  collector.Add(MarkerEvent{
      .id = 5, .start = true, .end = true, .time_ns = 150, .thread = 4, .name = "point"});
  collector.AddCall(1, 4, {110, 120});
  collector.AddCall(2, 4, {130, 140});
  collector.AddCall(3, 4, {310, 320});
  collector.AddCall(4, 4, {405, 407});
  collector.AddCall(5, 9, {150, 160});  // another thread's
  collector.AddSegment(1, 70);
  collector.AddSegment(2, 70);
  collector.AddSegment(3, 71);
  collector.AddSegment(5, 72);
  std::map<std::string, MarkerRecord> markers;
  for (const MarkerRecord& marker : collector.Finish().markers) markers[marker.name] = marker;
  ASSERT_EQ(markers.size(), 5U);
  EXPECT_EQ(markers["one segment"].segment, 70U);
  EXPECT_EQ(markers["one segment"].time.end_ns, 200);
  EXPECT_EQ(markers["two segments"].segment, std::nullopt);
  EXPECT_EQ(markers["no calls"].segment, std::nullopt);
  EXPECT_EQ(markers["a call of no segment"].segment, std::nullopt);
  EXPECT_EQ(markers["point"].time.start_ns, markers["point"].time.end_ns);
}

TEST(ActivityTest, RangesWithOneEndAreCounted) {
  ActivityCollector collector;
  collector.Add(MarkerEvent{.id = 1, .start = true, .time_ns = 10});
  collector.Add(MarkerEvent{.id = 2, .end = true, .time_ns = 20});
  const ActivityTrace trace = collector.Finish();
  EXPECT_EQ(trace.losses.unpaired_markers, 2);
  EXPECT_TRUE(trace.markers.empty());
}

TEST(ActivityTest, FinishLeavesNothingForTheNextTrace) {
  ActivityCollector collector;
  collector.Add(Kernel(1, 2, 1));
  collector.AddSegment(1, 5);
  collector.losses().dropped = 1;
  EXPECT_EQ(collector.Finish().kernels.size(), 1U);
  collector.Add(Kernel(1, 2, 1));
  const ActivityTrace second = collector.Finish();
  EXPECT_EQ(second.kernels.at(0).segment, std::nullopt);
  EXPECT_FALSE(second.losses.any());
}

}  // namespace
}  // namespace dbsp::runtime
