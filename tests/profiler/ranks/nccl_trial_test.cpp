// SPDX-License-Identifier: Apache-2.0
// Measures exchanges over a fake NCCL that moves bytes between threads of this process.
#include "profiler/ranks/nccl_trial.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <limits>
#include <map>
#include <mutex>
#include <vector>

#include "build_config.h"
#include "core/error.h"
#include "profiler/ranks/exchange_session.h"
#include "profiler/ranks/overlap_rank.h"
#include "profiler/run_trial.h"
#include "tests/core/expect_error.h"
#include "tests/runtime/fake_nccl_ranks.h"

namespace dbsp::profiler {
namespace {

using testing::EnvironmentVariable;
using testing::FakeNcclRanks;
using ::testing::HasSubstr;

class HostDevice final : public ExchangeDevice {
 public:
  explicit HostDevice(runtime::NcclQueue queue) : queue_(std::move(queue)) {}
  runtime::NcclQueue Queue(int) override { return queue_; }
  float* Buffer(std::int64_t floats, const std::string&) override {
    return buffers_.emplace_back(static_cast<std::size_t>(floats)).data();
  }
  void Write(float* to, std::span<const float> values) override {
    std::copy(values.begin(), values.end(), to);
  }
  void Read(std::span<float> values, const float* from) override {
    std::copy_n(from, values.size(), values.begin());
  }

 private:
  runtime::NcclQueue queue_;
  std::deque<std::vector<float>> buffers_;
};

/// A device whose clock says 7 us per exchange, and which notes what had been called before its
/// stream was held.
class DeviceWithEvents final : public ExchangeDevice {
 public:
  DeviceWithEvents(std::unique_ptr<ExchangeDevice> host, std::function<std::string()> calls)
      : host_(std::move(host)), calls_(std::move(calls)) {}
  runtime::NcclQueue Queue(int ranks) override { return host_->Queue(ranks); }
  float* Buffer(std::int64_t floats, const std::string& what) override {
    return host_->Buffer(floats, what);
  }
  void Write(float* to, std::span<const float> values) override { host_->Write(to, values); }
  void Read(std::span<float> values, const float* from) override { host_->Read(values, from); }
  std::int64_t TimeOnDevice(const std::function<void()>& first,
                            const std::function<void()>& timed,
                            const std::function<void()>& wait) override {
    {
      const std::scoped_lock lock(mutex);
      before_hold.push_back(calls_());
    }
    first();
    timed();
    wait();
    return 20 * 7000;
  }
  static inline std::mutex mutex;
  static inline std::vector<std::string> before_hold;  ///< of rank 0; "" of the others

 private:
  std::unique_ptr<ExchangeDevice> host_;
  std::function<std::string()> calls_;
};

class NcclTrialTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!DBSP_HAVE_NCCL) GTEST_SKIP() << "this build has no NCCL";
  }
  [[nodiscard]] RunSettings Settings(std::int64_t deadline_ns = 60'000'000'000) {
    nccl_.emplace(8, deadline_ns);
    const auto world = std::make_shared<NcclWorld>();
    world->devices = 8;
    world->options = nccl_->options();
    world->open = [this](int rank) { return std::make_unique<HostDevice>(nccl_->Queue(rank)); };
    RunSettings settings;
    settings.suite = "collectives";
    settings.ranks = 8;
    settings.limits = {.warmups = 1, .min_samples = 2, .max_samples = 3};
    settings.nccl = world;
    return settings;
  }
  static ExchangeConfig Config(const std::string& op, int ranks) {
    return {.op = op,
            .transport = "nccl",
            .ranks = ranks,
            .bytes_per_rank = 4000,
            .unevenness = op == "alltoall" ? 1.5 : 1.0};
  }
  std::optional<FakeNcclRanks> nccl_;
};

TEST_F(NcclTrialTest, EveryExchangeIsMeasuredBetweenEightRanks) {
  const RunSettings settings = Settings();
  for (const char* op : {"alltoall", "hop", "allgather", "reducescatter", "needed"}) {
    const auto trial = RunTrial(Config(op, 8), settings);
    ASSERT_TRUE(trial.has_value());
    EXPECT_EQ(trial->outcome, TrialOutcome::kOk) << op << ": " << trial->detail;
    EXPECT_EQ(trial->method, "nccl.wall20");
    EXPECT_GE(trial->samples_ns.size(), 2U);
  }
  EXPECT_EQ(nccl_->CommunicatorsAlive(), 0);
}

TEST_F(NcclTrialTest, ASampleIsTwentyExchangesOfOneGroupEach) {
  RunSettings settings = Settings();
  settings.limits = {.warmups = 0, .min_samples = 1, .max_samples = 1};
  ExchangeConfig config = Config("needed", 8);
  config.bytes_per_rank = 2400;
  ASSERT_EQ(RunTrial(config, settings)->outcome, TrialOutcome::kOk);
  const std::string group = "[ s7:800 r1:800 s6:400 r2:400 s2:400 r6:400 s1:800 r7:800 ] ";
  // The exchange that connects the ranks, the barrier before the sample, the one after, the end's.
  std::string expected = group + "allgather ";
  for (int i = 0; i < kExchangesPerSample; ++i) expected += group;
  EXPECT_EQ(nccl_->Calls(0), expected + "allgather allgather ");
}

TEST_F(NcclTrialTest, AGroupEndOfFiveMicrosecondsIsNotReportedAsATimerTick) {
  // A wait that sleeps at once never reports less than the 20 us that it asks for, and usually 80.
  // Other processes may delay every second sample, so the shortest of 210 is compared.
  const EnvironmentVariable busy("DBSP_FAKE_NCCL_BUSY_NS", "5000");
  RunSettings settings = Settings();
  settings.ranks = 2;
  settings.limits = {.warmups = 1, .min_samples = 21, .max_samples = 21};
  std::int64_t best = std::numeric_limits<std::int64_t>::max();
  for (int attempt = 0; attempt < 10 && best >= 20'000; ++attempt) {
    const auto trial = RunTrial(Config("hop", 2), settings);
    ASSERT_EQ(trial->outcome, TrialOutcome::kOk) << trial->detail;
    best = std::min(best, *std::ranges::min_element(trial->samples_ns));
  }
  EXPECT_GE(best, 5'000);
  EXPECT_LT(best, 20'000);
}

TEST_F(NcclTrialTest, EventsOfTheDeviceTimeAnExchangeThatWasMadeOnceBefore) {
  RunSettings settings = Settings();
  settings.ranks = 2;
  const auto world = std::make_shared<NcclWorld>(*settings.nccl);
  world->clock = ExchangeClock::kDevice;
  world->open = [this, open = world->open](int rank) -> std::unique_ptr<ExchangeDevice> {
    if (rank != 0) {
      return std::make_unique<DeviceWithEvents>(open(rank), [] { return std::string(); });
    }
    return std::make_unique<DeviceWithEvents>(open(0), [this] { return nccl_->Calls(0); });
  };
  settings.nccl = world;
  EXPECT_EQ(NcclMethod(*world), "nccl.events20");
  for (const char* op : {"hop", "alltoall", "allgather", "reducescatter"}) {
    DeviceWithEvents::before_hold.clear();
    const auto trial = RunTrial(Config(op, 2), settings);
    ASSERT_EQ(trial->outcome, TrialOutcome::kOk) << trial->detail;
    EXPECT_EQ(trial->method, "nccl.events20");
    for (const std::int64_t sample : trial->samples_ns) EXPECT_EQ(sample, 7000);
    std::string first;
    for (const std::string& calls : DeviceWithEvents::before_hold) {
      if (!calls.empty()) first = first.empty() ? calls : first;
    }
    // Once unheld, then the barrier, before anything is enqueued on a held stream.
    const std::string once = std::string(op) == "allgather"       ? "allgather "
                             : std::string(op) == "reducescatter" ? "reducescatter "
                             : std::string(op) == "hop"           ? "[ s1:4000 r1:4000 ] "
                                                                  : "[ s1:4000 r1:";
    EXPECT_TRUE(first.starts_with(once)) << first;
    EXPECT_TRUE(first.ends_with("allgather ")) << first;
  }
}

TEST_F(NcclTrialTest, AHangBecomesAFailedTrialAndTheNextOneRuns) {
  const RunSettings settings = Settings(300'000'000);
  {
    const EnvironmentVariable hang("DBSP_FAKE_NCCL_HANG", "5");
    const auto trial = RunTrial(Config("hop", 8), settings);
    ASSERT_TRUE(trial.has_value());
    EXPECT_EQ(trial->outcome, TrialOutcome::kFailed);
    EXPECT_THAT(trial->detail, HasSubstr("took more than 0.3 s"));
  }
  // After an abort the fake's streams are idle, as a device's are.
  const RunSettings again = Settings();
  EXPECT_EQ(RunTrial(Config("hop", 8), again)->outcome, TrialOutcome::kOk);
}

TEST_F(NcclTrialTest, MoreRanksThanDevicesAreUnavailable) {
  RunSettings settings = Settings();
  settings.ranks = 9;
  const auto trial = RunTrial(Config("allgather", 9), settings);
  EXPECT_EQ(trial->outcome, TrialOutcome::kUnavailable);
  EXPECT_THAT(trial->detail, HasSubstr("there are 8"));
  settings.nccl = nullptr;
  EXPECT_EQ(RunTrial(Config("hop", 8), settings)->outcome, TrialOutcome::kUnavailable);
}

TEST_F(NcclTrialTest, TheMethodNamesTheLimitOfSms) {
  NcclWorld world;
  EXPECT_EQ(NcclMethod(world), "nccl.wall20");
  world.options.most_ctas = 8;
  EXPECT_EQ(NcclMethod(world), "nccl.wall20.ctas8");
  world.will_be_processes = true;
  EXPECT_EQ(NcclMethod(world), "nccl.slowest20.ctas8");
  world.clock = ExchangeClock::kDevice;
  EXPECT_EQ(NcclMethod(world), "nccl.events20.ctas8");
  EXPECT_EQ(MethodOf(Config("hop", 4), 8), "nccl.wall20.busy8");
}

TEST_F(NcclTrialTest, ALimitThatNcclWouldRoundIsRefused) {
  for (const int ctas : {1, 2, 4, 8, 16, 32, 64}) EXPECT_TRUE(runtime::IsNcclCtas(ctas)) << ctas;
  for (const int ctas : {-4, 3, 6, 12, 63, 128}) {
    EXPECT_FALSE(runtime::IsNcclCtas(ctas)) << ctas;
    RunSettings settings = Settings();
    auto world = std::make_shared<NcclWorld>(*settings.nccl);
    world->options.most_ctas = ctas;
    settings.nccl = world;
    const auto trial = RunTrial(Config("hop", 8), settings);
    EXPECT_EQ(trial->outcome, TrialOutcome::kFailed);
    EXPECT_THAT(trial->detail, HasSubstr("NCCL takes powers of two up to 64"));
  }
}

TEST_F(NcclTrialTest, AnSmMarginGivesNcclAPowerOfTwo) {
  OverlapConfig config;
  for (const auto& [margin, ctas] : std::map<int, int>{{0, 0}, {1, 1}, {6, 4}, {8, 8}, {100, 64}}) {
    config.sm_margin = margin;
    EXPECT_EQ(OverlapOptions({}, config).most_ctas, ctas) << margin;
  }
}

}  // namespace
}  // namespace dbsp::profiler
