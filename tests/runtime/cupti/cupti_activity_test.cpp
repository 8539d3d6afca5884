// SPDX-License-Identifier: Apache-2.0
// Decodes buffers in the format of CUPTI 13, which are built from cupti.h's structs. Uses the real
// libcupti if it is installed (it needs no GPU), and the fake one always.
#include "runtime/cupti/cupti_activity.h"

#include <cupti.h>
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "runtime/cupti/cupti_library.h"
#include "runtime/dynamic_library.h"
#include "tests/core/expect_error.h"
#include "tests/runtime/fake_vendor.h"

namespace dbsp::runtime {
namespace {

using dbsp::testing::EnvironmentVariable;
using dbsp::testing::ExpectError;
using dbsp::testing::FakeLibrary;

/// A buffer of successive records, as CUPTI writes it.
class Buffer {
 public:
  template <typename Record>
  Buffer& Put(const Record& record) {
    const std::size_t at = bytes_.size();
    bytes_.resize(at + sizeof(record));
    std::memcpy(bytes_.data() + at, &record, sizeof(record));
    return *this;
  }
  /// Appends the first `bytes` bytes of a record, and 0xEE behind it when `bytes` is larger.
  template <typename Record>
  Buffer& PutAs(const Record& record, std::size_t bytes) {
    const std::size_t at = bytes_.size();
    bytes_.resize(at + bytes, std::byte{0xEE});
    std::memcpy(bytes_.data() + at, &record, std::min(bytes, sizeof(record)));
    return *this;
  }
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  [[nodiscard]] ActivityTrace Read(const std::string& library, std::size_t valid) const {
    ActivityCollector collector;
    ActivityDecoder::Load(library).Decode(std::span(bytes_).first(valid), collector);
    return collector.Finish();
  }
  [[nodiscard]] ActivityTrace Read(const std::string& library) const {
    return Read(library, size());
  }

 private:
  std::vector<std::byte> bytes_;  // operator new aligns to 16
};

CUpti_ActivityKernel10 Kernel(std::uint64_t start, std::uint64_t end, std::uint32_t correlation) {
  CUpti_ActivityKernel10 record{};
  record.kind = CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL;
  record.name = "attention";
  record.start = start;
  record.end = end;
  record.deviceId = 3;
  record.streamId = 7;
  record.correlationId = correlation;
  record.gridX = 132;
  record.gridY = 2;
  record.gridZ = 1;
  record.blockX = 384;
  record.blockY = 1;
  record.blockZ = 1;
  record.registersPerThread = 168;
  record.staticSharedMemory = 1024;
  record.dynamicSharedMemory = 200000;
  return record;
}

CUpti_ActivityExternalCorrelation Tie(std::uint32_t correlation, std::uint64_t id) {
  CUpti_ActivityExternalCorrelation record{};
  record.kind = CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION;
  record.externalKind = CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0;
  record.externalId = id;
  record.correlationId = correlation;
  return record;
}

CUpti_ActivityMemcpy6 Copy(std::uint8_t kind, std::uint32_t correlation) {
  CUpti_ActivityMemcpy6 record{};
  record.kind = CUPTI_ACTIVITY_KIND_MEMCPY;
  record.copyKind = kind;
  record.bytes = 4096;
  record.start = 500;
  record.end = 600;
  record.correlationId = correlation;
  return record;
}

CUpti_ActivityAPI Call(CUpti_ActivityKind kind, std::uint32_t correlation, std::uint32_t thread) {
  CUpti_ActivityAPI record{};
  record.kind = kind;
  record.start = 50;
  record.end = 60;
  record.correlationId = correlation;
  record.threadId = thread;
  return record;
}

CUpti_ActivityMarker2 Marker(CUpti_ActivityFlag flag, std::uint64_t time, const char* name) {
  CUpti_ActivityMarker2 record{};
  record.kind = CUPTI_ACTIVITY_KIND_MARKER;
  record.flags = flag;
  record.timestamp = time;
  record.id = 11;
  record.objectKind = CUPTI_ACTIVITY_OBJECT_THREAD;
  record.objectId.pt.threadId = 42;
  record.name = name;
  return record;
}

/// Folder of the vendor's libcupti; nothing without one.
std::optional<std::string> RealLibrary() {
  for (const char* name : {"libcupti.so.13",
                           DBSP_CUPTI_INCLUDE "/../lib/libcupti.so.13",
                           DBSP_CUPTI_INCLUDE "/../lib64/libcupti.so.13"}) {
    if (void* handle = dlopen(name, RTLD_NOW | RTLD_LOCAL)) {
      dlclose(handle);
      return name;
    }
  }
  return std::nullopt;
}

enum class Walker : std::uint8_t { kFake, kReal };

class ActivityDecoderTest : public ::testing::TestWithParam<Walker> {
 protected:
  void SetUp() override {
    if (GetParam() == Walker::kFake) return;
    const std::optional<std::string> real = RealLibrary();
    if (!real) GTEST_SKIP() << "no libcupti.so.13 on this machine";
    library_ = *real;
  }
  std::string library_ = FakeLibrary("libcupti.so.13");
};
INSTANTIATE_TEST_SUITE_P(Walkers,
                         ActivityDecoderTest,
                         ::testing::Values(Walker::kFake, Walker::kReal),
                         [](const auto& test) {
                           return test.param == Walker::kFake ? "Fake" : "Real";
                         });

TEST_P(ActivityDecoderTest, EveryKindIsDecodedFieldByField) {
  CUpti_ActivityMemcpyPtoP4 peer{};
  peer.kind = CUPTI_ACTIVITY_KIND_MEMCPY2;
  peer.bytes = 77;
  peer.start = 700;
  peer.end = 800;
  peer.correlationId = 6;
  CUpti_ActivityMemset4 set{};
  set.kind = CUPTI_ACTIVITY_KIND_MEMSET;
  set.bytes = 12;
  set.start = 900;
  set.end = 950;
  const ActivityTrace trace = Buffer()
                                  .Put(Tie(5, 1234567890123))
                                  .Put(Call(CUPTI_ACTIVITY_KIND_RUNTIME, 5, 42))
                                  .Put(Kernel(100, 400, 5))
                                  .Put(Copy(CUPTI_ACTIVITY_MEMCPY_KIND_DTOD, 9))
                                  .Put(Marker(CUPTI_ACTIVITY_FLAG_MARKER_START, 40, "hop 1"))
                                  .Put(Tie(6, 8))
                                  .Put(Call(CUPTI_ACTIVITY_KIND_DRIVER, 6, 43))
                                  .Put(peer)
                                  .Put(set)
                                  .Put(Marker(CUPTI_ACTIVITY_FLAG_MARKER_END, 70, nullptr))
                                  .Read(library_);
  ASSERT_EQ(trace.kernels.size(), 1U);
  const KernelRecord& kernel = trace.kernels[0];
  EXPECT_EQ(kernel.name, "attention");
  EXPECT_EQ(kernel.time.start_ns, 100);
  EXPECT_EQ(kernel.time.end_ns, 400);
  EXPECT_EQ(kernel.device, 3U);
  EXPECT_EQ(kernel.stream, 7U);
  EXPECT_EQ(kernel.grid[0], 132);
  EXPECT_EQ(kernel.grid[1], 2);
  EXPECT_EQ(kernel.block[0], 384);
  EXPECT_EQ(kernel.registers_per_thread, 168);
  EXPECT_EQ(kernel.shared_bytes, 201024);
  EXPECT_EQ(kernel.segment, 1234567890123U);
  ASSERT_EQ(trace.copies.size(), 3U);
  EXPECT_EQ(trace.copies[0].kind, "device to device");
  EXPECT_EQ(trace.copies[0].bytes, 4096);
  EXPECT_EQ(trace.copies[0].segment, std::nullopt);
  EXPECT_EQ(trace.copies[1].kind, "peer to peer");
  EXPECT_EQ(trace.copies[1].segment, 8U);
  EXPECT_EQ(trace.copies[2].kind, "set");
  ASSERT_EQ(trace.markers.size(), 1U);
  EXPECT_EQ(trace.markers[0].name, "hop 1");
  EXPECT_EQ(trace.markers[0].time.end_ns, 70);
  EXPECT_EQ(trace.markers[0].thread, 42U);
  EXPECT_EQ(trace.markers[0].segment, 1234567890123U);
  EXPECT_FALSE(trace.losses.any()) << Describe(trace.losses);
}

/// Layouts of kernel records: CUPTI 12's CUpti_ActivityKernel9 (208 bytes) lacks the last field of
/// 13.0's CUpti_ActivityKernel10 (216). 13.2 adds the priority (in what was padding), 13.3 the
/// execution model, 13.4 and 13.5 the source graph's node and id (CUpti_ActivityKernel11 to 13 in
/// CUPTI's reference); with natural alignment these are 216, 224 and 240 bytes. The decoder takes
/// the sizes from the library, so larger ones are tested too.
TEST(ActivityVersionTest, KernelRecordsOfEveryVersionAreReadWithoutLosses) {
  for (const std::size_t bytes : {208U, 216U, 224U, 240U, 512U}) {
    SCOPED_TRACE(bytes);
    const EnvironmentVariable size("DBSP_FAKE_CUPTI_KERNEL_BYTES", std::to_string(bytes));
    const std::string library = FakeLibrary("libcupti.so.13");
    Buffer buffer;
    buffer.Put(Tie(5, 9)).PutAs(Kernel(100, 400, 5), bytes);
    buffer.Put(Copy(CUPTI_ACTIVITY_MEMCPY_KIND_DTOD, 5)).PutAs(Kernel(500, 600, 6), bytes);
    const ActivityTrace trace = buffer.Read(library);
    ASSERT_EQ(trace.kernels.size(), 2U);
    EXPECT_EQ(trace.kernels[0].name, "attention");
    EXPECT_EQ(trace.kernels[0].segment, 9U);
    EXPECT_EQ(trace.kernels[0].registers_per_thread, 168);
    EXPECT_EQ(trace.kernels[1].time.start_ns, 500);
    EXPECT_EQ(trace.copies.size(), 1U);
    EXPECT_FALSE(trace.losses.any()) << Describe(trace.losses);
    // The last record is cut short.
    const ActivityTrace cut = buffer.Read(library, buffer.size() - 8);
    EXPECT_EQ(cut.kernels.size(), 1U);
    EXPECT_EQ(cut.losses, (ActivityLosses{.undecoded_bytes = static_cast<int>(bytes) - 8}));
  }
}

TEST(ActivityVersionTest, ALaterLibraryIsTraced) {
  const std::string later = DBSP_BINARY_DIR "/fake_vendor/later/libcupti.so.13";
  EXPECT_EQ(CuptiLibrary::Load(later).version(), "13.5.0");
  EXPECT_EQ(Buffer().Put(Kernel(1, 2, 5)).Read(later).kernels.size(), 1U);
}

TEST_P(ActivityDecoderTest, IdsOfOtherToolsAreIgnored) {
  CUpti_ActivityExternalCorrelation other = Tie(5, 99);
  other.externalKind = CUPTI_EXTERNAL_CORRELATION_KIND_OPENACC;
  const ActivityTrace trace = Buffer().Put(other).Put(Kernel(1, 2, 5)).Read(library_);
  EXPECT_EQ(trace.kernels.at(0).segment, std::nullopt);
  EXPECT_FALSE(trace.losses.any());
}

TEST_P(ActivityDecoderTest, ATruncatedBufferGivesItsCompleteRecordsAndCountsTheRest) {
  Buffer buffer;
  buffer.Put(Tie(5, 9)).Put(Kernel(1, 2, 5)).Put(Copy(CUPTI_ACTIVITY_MEMCPY_KIND_HTOD, 5));
  constexpr std::size_t kTie = sizeof(CUpti_ActivityExternalCorrelation);
  constexpr std::size_t kKernel = sizeof(CUpti_ActivityKernel10);
  // CUPTI reads a record's kind, 4 bytes, before it checks whether the record fits.
  for (std::size_t valid = 4; valid < buffer.size(); valid += 4) {
    const ActivityTrace trace = buffer.Read(library_, valid);
    EXPECT_EQ(trace.kernels.size(), valid >= kTie + kKernel ? 1U : 0U) << valid;
    EXPECT_TRUE(trace.copies.empty()) << valid;
    const std::size_t whole = valid >= kTie + kKernel ? kTie + kKernel : valid >= kTie ? kTie : 0;
    EXPECT_EQ(trace.losses.undecoded_bytes, static_cast<std::int64_t>(valid - whole)) << valid;
  }
  EXPECT_FALSE(buffer.Read(library_).losses.any());
}

TEST_P(ActivityDecoderTest, AfterAnUnknownKindTheRestIsCounted) {
  Buffer buffer;
  buffer.Put(Kernel(1, 2, 5));
  for (const std::uint32_t kind : {0U, 99U, 0x7ffffffeU}) {
    CUpti_ActivityKernel10 strange = Kernel(3, 4, 6);
    strange.kind = static_cast<CUpti_ActivityKind>(kind);
    const ActivityTrace trace = Buffer(buffer).Put(strange).Put(Kernel(5, 6, 7)).Read(library_);
    EXPECT_EQ(trace.kernels.size(), 1U) << kind;
    EXPECT_EQ(trace.losses.undecoded_bytes, 2 * static_cast<int>(sizeof(strange))) << kind;
  }
}

TEST_P(ActivityDecoderTest, KindsThatWereNotRequestedAreSkipped) {
  CUpti_ActivityName name{};
  name.kind = CUPTI_ACTIVITY_KIND_NAME;
  const ActivityTrace trace = Buffer().Put(name).Put(Kernel(1, 2, 5)).Read(library_);
  EXPECT_EQ(trace.kernels.size(), 1U);
  EXPECT_EQ(trace.losses, (ActivityLosses{.other_kinds = 1}));
}

TEST_P(ActivityDecoderTest, ZeroTimesAreCountedNotKept) {
  const ActivityTrace trace =
      Buffer().Put(Kernel(0, 0, 5)).Put(Kernel(1, 2, 5)).Put(Kernel(9, 3, 5)).Read(library_);
  EXPECT_EQ(trace.kernels.size(), 1U);
  EXPECT_EQ(trace.losses, (ActivityLosses{.untimed = 2}));
}

TEST(FakeCuptiTest, RecordsHaveTheSizesOfTheHeader) {
  const DynamicLibrary fake(FakeLibrary("libcupti.so.13"), "no fake");
  const auto size = fake.Get<std::size_t(std::uint32_t)>("FakeCuptiRecordSize");
  EXPECT_EQ(size(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL), sizeof(CUpti_ActivityKernel10));
  EXPECT_EQ(size(CUPTI_ACTIVITY_KIND_KERNEL), sizeof(CUpti_ActivityKernel10));
  EXPECT_EQ(size(CUPTI_ACTIVITY_KIND_MEMCPY), sizeof(CUpti_ActivityMemcpy6));
  EXPECT_EQ(size(CUPTI_ACTIVITY_KIND_MEMCPY2), sizeof(CUpti_ActivityMemcpyPtoP4));
  EXPECT_EQ(size(CUPTI_ACTIVITY_KIND_MEMSET), sizeof(CUpti_ActivityMemset4));
  EXPECT_EQ(size(CUPTI_ACTIVITY_KIND_MARKER), sizeof(CUpti_ActivityMarker2));
  EXPECT_EQ(size(CUPTI_ACTIVITY_KIND_RUNTIME), sizeof(CUpti_ActivityAPI));
  EXPECT_EQ(size(CUPTI_ACTIVITY_KIND_NAME), sizeof(CUpti_ActivityName));
  EXPECT_EQ(size(CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION),
            sizeof(CUpti_ActivityExternalCorrelation));
}

/// A session with the fake CUPTI, which delivers the test's records.
class ActivitySessionTest : public ::testing::Test {
 protected:
  template <typename Record>
  void Deliver(const Record& record) {
    fake_.Get<void(const void*, std::size_t)>("FakeCuptiRecord")(&record, sizeof(record));
  }
  /// Records a launch: the segment, if one is pushed on this thread, the call and the kernel.
  void Launch(std::uint32_t correlation) {
    std::uint64_t id = 0;
    if (fake_.Get<int(std::uint64_t*)>("FakeCuptiTopId")(&id) != 0) Deliver(Tie(correlation, id));
    Deliver(Call(CUPTI_ACTIVITY_KIND_RUNTIME, correlation, 1));
    Deliver(Kernel(100 * correlation, 100 * correlation + 50, correlation));
  }
  [[nodiscard]] int Enabled() const { return fake_.Get<int()>("FakeCuptiEnabled")(); }
  [[nodiscard]] int Finalized() const { return fake_.Get<int()>("FakeCuptiFinalized")(); }

  const DynamicLibrary fake_{FakeLibrary("libcupti.so.13"), "no fake"};
  const ActivityOptions options_{.buffer_bytes = 4096,
                                 .most_bytes = std::size_t{1} << 20,
                                 .library = FakeLibrary("libcupti.so.13")};
};

TEST_F(ActivitySessionTest, LaunchesBelongToTheInnermostSegmentOfTheirThread) {
  const int finalized = Finalized();
  ActivitySession session = ActivitySession::Start(options_);
  EXPECT_EQ(Enabled(), 7);
  Launch(1);
  {
    const ActivitySession::Segment outer(session, 10);
    Launch(2);
    {
      const ActivitySession::Segment inner(session, 11);
      Launch(3);
      std::thread([&] { Launch(4); }).join();
    }
    Launch(5);
  }
  Launch(6);
  const ActivityTrace trace = session.Stop();
  std::vector<std::optional<SegmentId>> segments;
  for (const KernelRecord& kernel : trace.kernels) segments.push_back(kernel.segment);
  EXPECT_THAT(segments,
              ::testing::ElementsAre(std::nullopt, 10, 11, std::nullopt, 10, std::nullopt));
  EXPECT_FALSE(trace.losses.any());
  EXPECT_EQ(Enabled(), 0);
  EXPECT_EQ(Finalized(), finalized + 1);
  ExpectError(ErrorCode::kInternal, {"already ended"}, [&] { (void)session.Stop(); });
}

TEST_F(ActivitySessionTest, ManyBuffersGiveEveryRecord) {
  ActivitySession session = ActivitySession::Start(options_);
  const ActivitySession::Segment segment(session, 3);
  for (std::uint32_t i = 1; i <= 1000; ++i) Launch(i);  // 68 buffers of 4096 bytes
  const ActivityTrace trace = session.Stop();
  EXPECT_EQ(trace.kernels.size(), 1000U);
  EXPECT_EQ(BySegment(trace).at(3).kernels, 1000);
  EXPECT_FALSE(trace.losses.any());
}

TEST_F(ActivitySessionTest, WithoutMemoryRecordsAreDroppedAndCounted) {
  ActivityOptions little = options_;
  little.most_bytes = 8192;
  ActivitySession session = ActivitySession::Start(little);
  for (std::uint32_t i = 1; i <= 100; ++i) Deliver(Kernel(i, i + 1, i));
  const ActivityTrace trace = session.Stop();
  EXPECT_EQ(trace.kernels.size(), 2 * (4096 / sizeof(CUpti_ActivityKernel10)));
  EXPECT_EQ(trace.losses.dropped, static_cast<std::int64_t>(100 - trace.kernels.size()));
}

TEST_F(ActivitySessionTest, AnotherProfilerIsReportedAndNotDetached) {
  const int finalized = Finalized();
  const EnvironmentVariable result("DBSP_FAKE_CUPTI_ENABLE", "39");
  ExpectError(ErrorCode::kUnavailable,
              {"cuptiActivityEnable: FAKE_CUPTI_MULTIPLE_SUBSCRIBERS (CUPTI error 39)",
               "another profiler (nsys, ncu, cuda-gdb",
               "run without it"},
              [&] { (void)ActivitySession::Start(options_); });
  EXPECT_EQ(Finalized(), finalized);  // detaching would end the other one's session
}

TEST_F(ActivitySessionTest, AfterAFailureASessionCanStart) {
  {
    const EnvironmentVariable result("DBSP_FAKE_CUPTI_ENABLE", "35");
    ExpectError(ErrorCode::kUnavailable,
                {"CUPTI error 35", "CAP_SYS_ADMIN", "NVreg_RestrictProfilingToAdminUsers=0"},
                [&] { (void)ActivitySession::Start(options_); });
  }
  ActivitySession session = ActivitySession::Start(options_);
  Launch(1);
  EXPECT_EQ(session.Stop().kernels.size(), 1U);
}

TEST_F(ActivitySessionTest, OneSessionAtATimeAndAnAbandonedOneDetaches) {
  const int finalized = Finalized();
  {
    const ActivitySession session = ActivitySession::Start(options_);
    ExpectError(
        ErrorCode::kInternal, {"one per process"}, [&] { (void)ActivitySession::Start(options_); });
    EXPECT_EQ(Enabled(), 7);
    Launch(1);
  }
  EXPECT_EQ(Enabled(), 0);
  EXPECT_EQ(Finalized(), finalized + 1);
}

TEST_F(ActivitySessionTest, MissingAndOldLibrariesAreReported) {
  ActivityOptions absent = options_;
  absent.library = "libnowhere.so.9";
  ExpectError(ErrorCode::kUnavailable, {"CUPTI: unavailable: libnowhere.so.9 not found"}, [&] {
    (void)ActivitySession::Start(absent);
  });
  ActivityOptions old = options_;
  old.library = dbsp::testing::OldFakeLibrary("libcupti.so.13");
  ExpectError(ErrorCode::kUnavailable, {"cuptiGetResultString"}, [&] {
    (void)ActivitySession::Start(old);
  });
}

}  // namespace
}  // namespace dbsp::runtime
