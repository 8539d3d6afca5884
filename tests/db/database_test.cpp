// SPDX-License-Identifier: Apache-2.0
#include "db/database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/file.h"
#include "core/ledger.h"
#include "core/statistics.h"
#include "tests/db/fixtures.h"

namespace dbsp::db {
namespace {

void ExpectSameTrial(const Trial& a, const Trial& b) {
  EXPECT_EQ(KeyOf(a.config), KeyOf(b.config));
  EXPECT_EQ(a.config.index(), b.config.index());
  EXPECT_EQ(a.suite, b.suite);
  EXPECT_EQ(a.outcome, b.outcome);
  EXPECT_EQ(a.detail, b.detail);
  EXPECT_EQ(a.method, b.method);
  EXPECT_EQ(a.stop_reason, b.stop_reason);
  EXPECT_EQ(a.warmups, b.warmups);
  EXPECT_EQ(a.discarded, b.discarded);
  EXPECT_EQ(a.samples_ns, b.samples_ns);
  EXPECT_EQ(a.alone_ns, b.alone_ns);
  EXPECT_EQ(a.started_utc, b.started_utc);
}

TEST(DatabaseTest, EveryTrialComesBackAsItWasStored) {
  const TempFolder folder;
  Database database = Database::Open(folder / "p.db", OpenMode::kCreate);
  const std::int64_t environment = database.AddEnvironment(SomeMachine());
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    database.AddTrial(environment, RandomTrial(seed));
  }
  const Database reader = Database::Open(folder / "p.db", OpenMode::kReadOnly);
  const auto stored = reader.Trials();
  ASSERT_EQ(stored.size(), 200U);
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(seed);
    ExpectSameTrial(stored[seed].trial, RandomTrial(seed));
    EXPECT_EQ(stored[seed].environment_id, environment);
  }
  EXPECT_EQ(reader.Integrity().message(), "");
}

TEST(DatabaseTest, EveryFieldOfTheAttentionConfigurationComesBack) {
  const TempFolder folder;
  Database database = Database::Open(folder / "p.db", OpenMode::kCreate);
  const Trial trial = SomeAttention(std::numeric_limits<std::uint64_t>::max(), {7});
  database.AddTrial(database.AddEnvironment(SomeMachine()), trial);
  const Trial stored = database.Trials().front().trial;
  const auto& want = std::get<AttentionConfig>(trial.config);
  const auto& got = std::get<AttentionConfig>(stored.config);
  EXPECT_EQ(got.kernel, want.kernel);
  EXPECT_EQ(got.dtype, want.dtype);
  EXPECT_EQ(got.heads, want.heads);
  EXPECT_EQ(got.head_dim, want.head_dim);
  EXPECT_EQ(got.block, want.block);
  EXPECT_EQ(got.q_blocks, want.q_blocks);
  EXPECT_EQ(got.k_blocks, want.k_blocks);
  EXPECT_EQ(got.pattern, want.pattern);
  EXPECT_EQ(got.seed, want.seed);
  EXPECT_EQ(got.active_blocks, want.active_blocks);
  EXPECT_EQ(got.active_rows, want.active_rows);
}

TEST(DatabaseTest, ProvenanceComesBackWithArgumentsExtrasAndAnUnknownDirtyFlag) {
  const TempFolder folder;
  Database database = Database::Open(folder / "p.db", OpenMode::kCreate);
  Provenance unknown = SomeMachine("other");
  unknown.git_dirty.reset();
  database.AddEnvironment(SomeMachine());
  database.AddEnvironment(unknown);
  const auto stored = database.Environments();
  ASSERT_EQ(stored.size(), 2U);
  const Provenance want = SomeMachine();
  const Provenance& got = stored[0].provenance;
  EXPECT_EQ(got.device_kind, want.device_kind);
  EXPECT_EQ(got.device_name, want.device_name);
  EXPECT_EQ(got.device_uuid, want.device_uuid);
  EXPECT_EQ(got.host, want.host);
  EXPECT_EQ(got.cores, want.cores);
  EXPECT_EQ(got.memory_bytes, want.memory_bytes);
  EXPECT_EQ(got.compiler, want.compiler);
  EXPECT_EQ(got.build_type, want.build_type);
  EXPECT_EQ(got.git_commit, want.git_commit);
  EXPECT_EQ(got.git_dirty, true);
  EXPECT_EQ(got.version, want.version);
  EXPECT_EQ(got.argv, want.argv);
  EXPECT_EQ(got.started_utc, want.started_utc);
  EXPECT_EQ(got.extra, want.extra);
  EXPECT_EQ(stored[1].provenance.git_dirty, std::nullopt);
  EXPECT_NE(stored[0].uid, stored[1].uid);
}

TEST(DatabaseTest, RefusedTrialsLeaveNothing) {
  const TempFolder folder;
  Database database = Database::Open(folder / "p.db", OpenMode::kCreate);
  const std::int64_t environment = database.AddEnvironment(SomeMachine());
  EXPECT_THROW(database.AddTrial(environment, SomeAttention(1, {5, 0})), Error);
  EXPECT_THROW(database.AddTrial(environment, SomeAttention(1, {5, -3})), Error);
  EXPECT_THROW(database.AddTrial(environment, SomeAttention(1, {})), Error);
  EXPECT_THROW(database.AddTrial(environment + 1, SomeAttention(1, {5})),
               Error);  // no such machine
  Trial overlap = SomeAttention(1, {5, 6});
  overlap.config =
      OverlapConfig{.attention = std::get<AttentionConfig>(overlap.config), .exchange = {}};
  overlap.alone_ns = {4};  // not one for each
  EXPECT_THROW(database.AddTrial(environment, overlap), Error);
  overlap.alone_ns = {4, 0};
  EXPECT_THROW(database.AddTrial(environment, overlap), Error);
  Trial lonely = SomeAttention(1, {5});
  lonely.alone_ns = {4};
  EXPECT_THROW(database.AddTrial(environment, lonely), Error);
  EXPECT_TRUE(database.Trials().empty());
  EXPECT_EQ(ShellText(folder / "p.db", "SELECT count(*) FROM samples"), "0");
}

TEST(DatabaseTest, AFinishedTrialHasTheSameKeyMethodDeviceAndCommit) {
  const TempFolder folder;
  Database database = Database::Open(folder / "p.db", OpenMode::kCreate);
  const std::int64_t environment = database.AddEnvironment(SomeMachine());
  const Trial trial = SomeAttention(1, {5});
  database.AddTrial(environment, trial);
  Trial failed = SomeAttention(2, {5});
  failed.outcome = TrialOutcome::kFailed;
  database.AddTrial(environment, failed);
  const std::string key = KeyOf(trial.config);
  EXPECT_TRUE(database.HasFinishedTrial(key, trial.method, SomeMachine()));
  EXPECT_FALSE(database.HasFinishedTrial(key, "cpu.wall", SomeMachine()));
  EXPECT_FALSE(database.HasFinishedTrial(key, trial.method, SomeMachine("another")));
  Provenance later = SomeMachine();
  later.git_commit = "ffff";
  EXPECT_FALSE(database.HasFinishedTrial(key, trial.method, later));
  EXPECT_FALSE(database.HasFinishedTrial(KeyOf(failed.config), failed.method, SomeMachine()));
}

TEST(DatabaseTest, PlansAreStoredOnceByContent) {
  const TempFolder folder;
  Database database = Database::Open(folder / "p.db", OpenMode::kCreate);
  const std::int64_t id = database.AddPlan("{\"a\": 1}");
  EXPECT_EQ(database.AddPlan("{\"a\": 1}"), id);
  EXPECT_NE(database.AddPlan("{\"a\": 2}"), id);
  EXPECT_THROW(database.AddPlan("{\"a\": "), Error);
  const auto plans = database.Plans();
  ASSERT_EQ(plans.size(), 2U);
  EXPECT_EQ(plans[0].json, "{\"a\": 1}");
  EXPECT_EQ(plans[0].hash, HashBytes("{\"a\": 1}"));
}

TEST(DatabaseTest, ReplaysComeBackWithTheirLedger) {
  const TempFolder folder;
  Database database = Database::Open(folder / "p.db", OpenMode::kCreate);
  ReplayRecord want = SomeReplay();
  want.cells[1].max_abs_error = std::nan("");
  database.AddReplay(database.AddEnvironment(SomeMachine()), want);
  const ReplayRecord got = database.Replays().front().replay;
  EXPECT_EQ(got.plan_hash, want.plan_hash);
  EXPECT_EQ(got.workload_hash, want.workload_hash);
  EXPECT_EQ(got.device, want.device);
  EXPECT_EQ(got.transport, want.transport);
  EXPECT_EQ(got.exchange_source, want.exchange_source);
  EXPECT_EQ(got.ranks, want.ranks);
  EXPECT_EQ(got.verified, want.verified);
  EXPECT_EQ(got.passed, want.passed);
  EXPECT_EQ(got.started_utc, want.started_utc);
  ASSERT_EQ(got.cells.size(), 2U);
  EXPECT_EQ(got.cells[0].step, 3);
  EXPECT_EQ(got.cells[0].layer, 4);
  EXPECT_EQ(got.cells[0].predicted_ns, 100);
  EXPECT_EQ(got.cells[0].replayed_ns, 140);
  EXPECT_EQ(got.cells[0].relative_error, 1e-6);
  EXPECT_EQ(got.cells[0].max_abs_error, std::nullopt);
  EXPECT_EQ(got.cells[0].lse_error, 2e-6);
  EXPECT_EQ(got.cells[1].lse_error, std::nullopt);
  EXPECT_EQ(got.cells[0].segments, want.cells[0].segments);
  EXPECT_EQ(got.cells[0].multiplicity, 7);
  EXPECT_EQ(got.cells[1].multiplicity, std::nullopt);
  EXPECT_EQ(got.cells[1].max_abs_error, std::numeric_limits<double>::infinity());
}

TEST(DatabaseTest, AReplayWithAnImpossibleNumberIsRefusedWhole) {
  const TempFolder folder;
  Database database = Database::Open(folder / "p.db", OpenMode::kCreate);
  const std::int64_t environment = database.AddEnvironment(SomeMachine());
  ReplayRecord replay = SomeReplay();
  replay.cells[0].segments[1].predicted_ns = -1;
  EXPECT_THROW(database.AddReplay(environment, replay), Error);
  replay = SomeReplay();
  replay.cells[1].replayed_ns = -1;
  EXPECT_THROW(database.AddReplay(environment, replay), Error);
  replay = SomeReplay();
  replay.cells[1].multiplicity = 0;
  EXPECT_THROW(database.AddReplay(environment, replay), Error);
  EXPECT_TRUE(database.Replays().empty());
}

TEST(DatabaseTest, TheMeasurementHashFollowsTrialsAndNothingElse) {
  const TempFolder folder;
  Database database = Database::Open(folder / "p.db", OpenMode::kCreate);
  const std::int64_t environment = database.AddEnvironment(SomeMachine());
  database.AddTrial(environment, SomeAttention(1, {5}));
  const std::string before = database.MeasurementHash();
  const std::int64_t other = database.AddEnvironment(SomeMachine("other"));
  database.AddReplay(other, SomeReplay());
  database.AddPlan("{}");
  EXPECT_EQ(database.MeasurementHash(), before);
  EXPECT_EQ(Database::Open(folder / "p.db", OpenMode::kReadOnly).MeasurementHash(), before);
  database.AddTrial(environment, SomeAttention(1, {6}));
  EXPECT_NE(database.MeasurementHash(), before);
}

TEST(DatabaseTest, CountersComeBackWithTheirTrialAlsoThroughAnImport) {
  const TempFolder folder;
  Database a = Database::Open(folder / "a.db", OpenMode::kCreate);
  const std::int64_t environment = a.AddEnvironment(SomeMachine());
  a.AddTrial(environment, SomeAttention(1, {7}));
  const std::string hash = a.MeasurementHash();
  const CounterRecord counted{"cupti.range", "", {{"dram__bytes.sum", 1.5e9}, {"x", 0}}};
  const CounterRecord refused{"none", "not allowed; no NVML", {}};
  const std::int64_t first = a.AddTrial(environment, SomeAttention(2, {7}), counted);
  const std::int64_t second = a.AddTrial(environment, SomeAttention(3, {7}), refused);
  EXPECT_EQ(a.Counters(),
            (std::map<std::int64_t, CounterRecord>{{first, counted}, {second, refused}}));
  EXPECT_NE(a.MeasurementHash(), hash);

  Database b = Database::Open(folder / "b.db", OpenMode::kCreate);
  b.AddTrial(b.AddEnvironment(SomeMachine()), SomeAttention(9, {7}));
  b.Import(a);
  b.Import(a);
  EXPECT_EQ(b.Counters(),
            (std::map<std::int64_t, CounterRecord>{{first + 1, counted}, {second + 1, refused}}));
  const CounterRecord broken{"none", "", {{"x", std::numeric_limits<double>::infinity()}}};
  EXPECT_THROW(a.AddTrial(environment, SomeAttention(4, {7}), broken), Error);
  EXPECT_EQ(a.Trials().size(), 3U) << "the trial went with its counters";
  EXPECT_EQ(ShellText(folder / "b.db", "SELECT count(*) FROM v_counters"), "3");
}

/// A final's trial, as --tune-kernels stores it.
Trial Final(const std::string& kernel,
            std::uint64_t shape,
            std::int64_t ns,
            const std::string& detail) {
  Trial trial = SomeAttention(shape, {ns, ns, ns});
  std::get<AttentionConfig>(trial.config).kernel = kernel;
  trial.method = "cuda.events.cold.turns";
  trial.detail = detail + "in turns with 1 others; each sample is the median of a trial";
  return trial;
}

TEST(DatabaseTest, TunedKernelsAreAViewWithDefaultGainAndNoise) {
  const TempFolder folder;
  Database database = Database::Open(folder / "p.db", OpenMode::kCreate);
  const std::int64_t environment = database.AddEnvironment(SomeMachine("a GPU"));
  const auto add = [&](const Trial& trial) { database.AddTrial(environment, trial); };
  add(Final("usual", 1, 200, ""));
  add(Final("fast", 1, 150, "chosen over usual: 25.0% against noise of 1.5%; "));
  add(Final("usual", 2, 100, "chosen: the default, and the fastest; "));
  add(Final("fast", 2, 110, ""));
  add(Final(
      "usual", 3, 100, "chosen: the default; fast is faster by 0.5% against noise of 2.0%; "));
  add(Final("fast", 3, 99, ""));
  add(Final("fast", 4, 70, "chosen: usual does not work here; "));
  add(Final(
      "usual", 5, 60, "chosen: the default; fast is faster by 50.0% against noise of inf%; "));
  add(Final("fast", 5, 30, ""));
  // Neither a trial of another method, nor a final of another process on the same shape, counts.
  Trial alone = Final("fast", 2, 1, "");
  alone.method = "cuda.events.cold";
  add(alone);
  database.AddTrial(database.AddEnvironment(SomeMachine("a GPU")), Final("fast", 2, 2, ""));
  const auto row = [&](const std::string& median) {
    return ShellText(folder / "p.db",
                     "SELECT device || '|' || kernel || '|' || default_kernel || '|' || verdict || "
                     "'|' || coalesce(gain_percent, '-') || '|' || coalesce(noise_percent, '-') || "
                     "'|' || finalists FROM v_tuned WHERE median_ns = " +
                         median);
  };
  EXPECT_EQ(ShellText(folder / "p.db", "SELECT count(*) FROM v_tuned"), "5");
  EXPECT_EQ(row("60"), "a GPU|usual|usual|ambiguous|50.0|Inf|2");
  EXPECT_EQ(row("150"), "a GPU|fast|usual|switched|25.0|1.5|2");
  EXPECT_EQ(row("100 AND finalists = 2 AND verdict = 'default'"),
            "a GPU|usual|usual|default|0.0|-|2");
  EXPECT_EQ(row("100 AND verdict = 'ambiguous'"), "a GPU|usual|usual|ambiguous|1.0|2.0|2");
  EXPECT_EQ(row("70"), "a GPU|fast|usual|default failed|-|-|1");
}

KernelVariant SomeKernel() {
  return {.name = "sm90.block128x64.d128",
          .list = "blocks",
          .arch = 90,
          .head_dim = 128,
          .q_block = 128,
          .k_block = 64,
          .tile_m = 128,
          .tile_n = 128,
          .stages = 2,
          .threads = 384,
          .shared_bytes = 196776,
          .deterministic = false};
}

TEST(DatabaseTest, EveryFieldOfAKernelComesBackAndTheNewestWordCounts) {
  const TempFolder folder;
  Database database = Database::Open(folder / "p.db", OpenMode::kCreate);
  const std::int64_t environment = database.AddEnvironment(SomeMachine());
  database.AddTrial(environment, SomeAttention(1, {7}));
  const std::string hash = database.MeasurementHash();
  KernelVariant kernel = SomeKernel();
  database.AddKernel(kernel);
  kernel.stages = 3;
  kernel.shared_bytes.reset();
  database.AddKernel(kernel);
  // A kernel that only a trial names is there with its name.
  EXPECT_EQ(database.Kernels(), (std::vector{KernelVariant{.name = "cpu.block_sparse"}, kernel}));
  EXPECT_EQ(database.MeasurementHash(), hash) << "kernels are no measurements";
  database.AddTrial(environment, SomeAttention(2, {7}));
  EXPECT_EQ(database.Kernels().size(), 2U);
  EXPECT_THROW(database.AddKernel({.name = ""}), Error);
  EXPECT_THROW(database.AddKernel({.name = "x", .list = "rows"}), Error);
}

TEST(DatabaseTest, ImportTeachesNamesWhatTheyAreAndKeepsWhatIsKnown) {
  const TempFolder folder;
  Database a = Database::Open(folder / "a.db", OpenMode::kCreate);
  Database b = Database::Open(folder / "b.db", OpenMode::kCreate);
  a.AddKernel(SomeKernel());
  a.AddKernel({.name = "known", .list = "keys"});
  b.AddKernel({.name = SomeKernel().name});
  b.AddKernel({.name = "known", .list = "blocks"});
  b.Import(a);
  EXPECT_EQ(b.Kernels(),
            (std::vector{KernelVariant{.name = "known", .list = "blocks"}, SomeKernel()}));
}

TEST(DatabaseTest, ImportAddsWhatIsMissingOnceAndKeepsTheMeasurementHash) {
  const TempFolder folder;
  Database a = Database::Open(folder / "a.db", OpenMode::kCreate);
  Database b = Database::Open(folder / "b.db", OpenMode::kCreate);
  const std::int64_t in_a = a.AddEnvironment(SomeMachine("one"));
  const std::int64_t in_b = b.AddEnvironment(SomeMachine("two"));
  for (std::uint64_t seed = 0; seed < 5; ++seed) a.AddTrial(in_a, RandomTrial(seed));
  for (std::uint64_t seed = 5; seed < 8; ++seed) b.AddTrial(in_b, RandomTrial(seed));
  a.AddReplay(in_a, SomeReplay());
  a.AddPlan("{}");
  const ImportCounts first = b.Import(a);
  EXPECT_EQ(first.environments, 1);
  EXPECT_EQ(first.trials, 5);
  EXPECT_EQ(first.replays, 1);
  EXPECT_EQ(first.plans, 1);
  a.AddTrial(in_a, RandomTrial(9));
  EXPECT_EQ(b.Import(a).trials, 1);
  const ImportCounts again = b.Import(a);
  EXPECT_EQ(again.environments + again.trials + again.plans + again.replays, 0);
  EXPECT_EQ(b.Trials().size(), 9U);
  a.Import(b);
  EXPECT_EQ(a.MeasurementHash(), b.MeasurementHash());
}

TEST(DatabaseViewTest, AttentionShowsMedianQuartilesAndGflops) {
  const TempFolder folder;
  Database database = Database::Open(folder / "p.db", OpenMode::kCreate);
  const std::int64_t environment = database.AddEnvironment(SomeMachine());
  database.AddTrial(environment, SomeAttention(1, {40'000, 10'000, 20'000, 30'000}));
  EXPECT_EQ(ShellText(folder / "p.db",
                      "SELECT median_ns || ' ' || q1_ns || ' ' || q3_ns || ' ' || density || ' ' "
                      "|| gflops || ' ' || block FROM v_attention"),
            // 4 * 150 * 128 * 64 * 64 operations in 25 us; 150 of 3 * 10 * 20 blocks
            "25000.0 17500.0 32500.0 0.25 12582.91 128x64");
}

TEST(DatabaseViewTest, ExchangeBandwidthsFollowTheUsualRule) {
  const TempFolder folder;
  Database database = Database::Open(folder / "p.db", OpenMode::kCreate);
  const std::int64_t environment = database.AddEnvironment(SomeMachine());
  for (const char* op : {"alltoall", "hop", "needed"}) {
    Trial trial = SomeAttention(1, {1000, 1000, 1000});
    trial.config = ExchangeConfig{
        .op = op, .transport = "threads", .ranks = 4, .bytes_per_rank = 3000, .unevenness = 1};
    database.AddTrial(environment, trial);
  }
  const std::string sql = "SELECT algbw_gbps || ' ' || busbw_gbps FROM v_exchange WHERE op = ";
  EXPECT_EQ(ShellText(folder / "p.db", sql + "'alltoall'"), "4.0 3.0");
  EXPECT_EQ(ShellText(folder / "p.db", sql + "'hop'"), "3.0 3.0");
  EXPECT_EQ(ShellText(folder / "p.db", sql + "'needed'"), "3.0 3.0");
}

TEST(DatabaseViewTest, OverlapsShowTheirSlowdownAndStayOutOfWhatRunsAlone) {
  const TempFolder folder;
  Database database = Database::Open(folder / "p.db", OpenMode::kCreate);
  const std::int64_t environment = database.AddEnvironment(SomeMachine());
  Trial trial = SomeAttention(1, {300, 100, 500, 100});
  trial.config = OverlapConfig{
      .attention = std::get<AttentionConfig>(trial.config),
      .exchange = {.op = "hop", .transport = "nccl", .ranks = 4, .bytes_per_rank = 3000},
      .sm_margin = 8};
  trial.alone_ns = {100, 160, 200, 150};
  database.AddTrial(environment, trial);
  EXPECT_EQ(ShellText(folder / "p.db",
                      "SELECT timed || ' ' || op || ' ' || ranks || ' ' || sm_margin || ' ' || "
                      "kernel || ' ' || alone_ns || ' ' || beside_ns || ' ' || slowdown FROM "
                      "v_overlap"),
            "attention hop 4 8 cpu.block_sparse 155.0 200.0 1.29");
  EXPECT_EQ(ShellText(folder / "p.db", "SELECT count(*) FROM v_attention"), "0");
  EXPECT_EQ(ShellText(folder / "p.db", "SELECT count(*) FROM v_exchange"), "0");
  EXPECT_EQ(ShellText(folder / "p.db", "SELECT trials || ' ' || refused FROM v_kernels"), "0 0");
  EXPECT_EQ(ShellText(folder / "p.db", "SELECT kind FROM trials"), "attention");
}

TEST(DatabaseViewTest, QuartilesAreThoseOfCoreStatistics) {
  const TempFolder folder;
  Database database = Database::Open(folder / "p.db", OpenMode::kCreate);
  const std::int64_t environment = database.AddEnvironment(SomeMachine());
  for (unsigned seed = 1; seed <= 5; ++seed) {
    std::mt19937 random(seed);
    std::uniform_int_distribution<std::int64_t> duration(1, 1'000'000'000);
    for (int size = 1; size <= 20; ++size) {
      SCOPED_TRACE(fmt::format("seed {}, {} samples", seed, size));
      Trial trial = SomeAttention(seed, {});
      trial.config = OverlapConfig{
          .attention = std::get<AttentionConfig>(trial.config),
          .exchange = {.op = "hop", .transport = "nccl", .ranks = 4, .bytes_per_rank = 3000}};
      for (int i = 0; i < size; ++i) {
        // Every third sample is a repeated value.
        trial.samples_ns.push_back(i % 3 == 2 ? trial.samples_ns[0] : duration(random));
        trial.alone_ns.push_back(duration(random));
      }
      const std::int64_t id = database.AddTrial(environment, trial);
      const auto shown = [&](const std::string& view, const std::string& column) {
        return std::stod(ShellText(
            folder / "p.db",
            fmt::format(
                "SELECT printf('%!.17g', {}) FROM {} WHERE trial_id = {}", column, view, id)));
      };
      const Quartiles quartiles = QuartilesOf(trial.samples_ns);
      EXPECT_EQ(shown("v_trial_times", "q1_ns"), quartiles.first);
      EXPECT_EQ(shown("v_trial_times", "median_ns"), quartiles.median);
      EXPECT_EQ(shown("v_trial_times", "q3_ns"), quartiles.third);
      EXPECT_EQ(shown("v_trial_times", "samples"), size);
      EXPECT_EQ(shown("v_overlap", "alone_ns"), Median(trial.alone_ns));
      EXPECT_EQ(shown("v_overlap", "beside_ns"), quartiles.median);
    }
  }
}

TEST(DatabaseViewTest, LedgerErrorsAreSignedAndLeaveUnpredictedSegmentsApart) {
  const TempFolder folder;
  Database database = Database::Open(folder / "p.db", OpenMode::kCreate);
  database.AddReplay(database.AddEnvironment(SomeMachine()), SomeReplay());
  // Predicted 160 and replayed 200, seven times each.
  EXPECT_EQ(ShellText(folder / "p.db",
                      "SELECT predicted_ns || ' ' || replayed_ns || ' ' || error_percent "
                      "FROM v_ledger WHERE kind = 'attention'"),
            "1120 1400 25.0");
  EXPECT_EQ(ShellText(folder / "p.db",
                      "SELECT ifnull(error_percent, 'none') || ' ' || unpredicted_ns "
                      "FROM v_ledger WHERE kind = 'hop'"),
            "none 140");
}

TEST(DatabaseViewTest, LedgerIsThatOfCoreLedger) {
  const TempFolder folder;
  Database database = Database::Open(folder / "p.db", OpenMode::kCreate);
  const std::int64_t environment = database.AddEnvironment(SomeMachine());
  for (unsigned seed = 1; seed <= 20; ++seed) {
    std::mt19937 random(seed);
    const auto pick = [&](int low, int high) {
      return std::uniform_int_distribution<int>(low, high)(random);
    };
    ReplayRecord replay = SomeReplay();
    replay.transport = pick(0, 1) == 0 ? "serial" : "threads";
    replay.cells.resize(pick(1, 4));
    for (ReplayCell& cell : replay.cells) {
      cell = {};
      if (pick(0, 3) > 0) cell.multiplicity = pick(1, 1000);
      cell.segments.resize(pick(0, 20));
      for (Segment& segment : cell.segments) {
        segment.kind = static_cast<SegmentKind>(pick(0, kSegmentKinds - 1));
        segment.duration_ns = pick(0, 1'000'000);
        if (pick(0, 4) > 0) segment.predicted_ns = pick(0, 1'000'000);
      }
    }
    const std::int64_t id = database.AddReplay(environment, replay);
    const Ledger ledger = LedgerOf(replay);
    for (int kind = 0; kind < kSegmentKinds; ++kind) {
      const LedgerEntry& entry = ledger[kind];
      SCOPED_TRACE(fmt::format("seed {}, {}", seed, NameOf(static_cast<SegmentKind>(kind))));
      const std::int64_t segments = entry.segments + entry.unpredicted_segments;
      const auto error = entry.relative_error();
      const std::string predicted =
          entry.segments == 0
              ? "-|-"
              : fmt::format("{}|{}",
                            entry.predicted_ns,
                            entry.measured ? std::to_string(entry.replayed_ns) : "-");
      const std::string row =
          fmt::format("{}|{}|{}|{}", segments, entry.segments, predicted, entry.unpredicted_ns);
      const std::string where = fmt::format(" FROM v_ledger WHERE replay_id = {} AND kind = '{}'",
                                            id,
                                            NameOf(static_cast<SegmentKind>(kind)));
      EXPECT_EQ(ShellText(folder / "p.db",
                          "SELECT segments || '|' || predicted_segments || '|' || "
                          "ifnull(predicted_ns, '-') || '|' || ifnull(replayed_ns, '-') || '|' || "
                          "unpredicted_ns" +
                              where),
                segments > 0 ? row : "");
      EXPECT_EQ(ShellText(folder / "p.db", "SELECT measured" + where),
                segments == 0    ? ""
                : entry.measured ? "1"
                                 : "0");
      if (!error) {
        EXPECT_EQ(ShellText(folder / "p.db", "SELECT error_percent" + where),
                  segments > 0 ? "NULL" : "");
        continue;
      }
      // The view rounds to hundredths of a per cent.
      EXPECT_NEAR(std::stod(ShellText(folder / "p.db", "SELECT error_percent" + where)),
                  100 * *error,
                  0.0051);
    }
  }
}

TEST(DatabaseViewTest, TimesThatASerialReplayCopiedFromThePlanAreNotMeasured) {
  const TempFolder folder;
  Database database = Database::Open(folder / "p.db", OpenMode::kCreate);
  ReplayRecord replay = SomeReplay();
  replay.cells[0].segments[2].predicted_ns = 20;
  const std::int64_t environment = database.AddEnvironment(SomeMachine());
  database.AddReplay(environment, replay);
  const std::string hop =
      "SELECT measured || '|' || predicted_ns || '|' || ifnull(replayed_ns, 'NULL') || '|' || "
      "ifnull(error_percent, 'NULL') FROM v_ledger WHERE kind = 'hop' AND transport = ";
  EXPECT_EQ(ShellText(folder / "p.db", hop + "'serial'"), "0|140|NULL|NULL");
  replay.transport = "threads";
  database.AddReplay(environment, replay);
  EXPECT_EQ(ShellText(folder / "p.db", hop + "'threads'"), "1|140|140|0.0");
}

TEST(DatabaseViewTest, ReplaysHaveTheTotalsOfCoreLedger) {
  const TempFolder folder;
  Database database = Database::Open(folder / "p.db", OpenMode::kCreate);
  ReplayRecord replay = SomeReplay();
  replay.cells[0].segments[2].predicted_ns = 20;
  const std::int64_t environment = database.AddEnvironment(SomeMachine());
  const auto row = [&](std::int64_t id) {
    return ShellText(folder / "p.db",
                     fmt::format("SELECT cells || '|' || ifnull(cells_meant, '-') || '|' || "
                                 "predicted_ns || '|' || replayed_ns || '|' || "
                                 "ifnull(measured_predicted_ns, '-') || '|' || "
                                 "ifnull(measured_replayed_ns, '-') || '|' || "
                                 "ifnull(measured_error_percent, '-') FROM v_replays "
                                 "WHERE replay_id = {}",
                                 id));
  };
  for (const bool known : {true, false}) {
    replay.cells[1].multiplicity = known ? std::optional<std::int64_t>(2) : std::nullopt;
    const ReplayTotals totals = TotalsOf(replay);
    const LedgerEntry measured = MeasuredPart(LedgerOf(replay));
    EXPECT_EQ(row(database.AddReplay(environment, replay)),
              fmt::format("2|{}|{}|{}|{}|{}|25.0",
                          known ? std::to_string(*totals.cells_meant) : "-",
                          totals.predicted_ns,
                          totals.replayed_ns,
                          measured.predicted_ns,
                          measured.replayed_ns));
  }
  replay.cells = {ReplayCell{}};  // no segments: nothing was measured
  EXPECT_EQ(row(database.AddReplay(environment, replay)), "1|-|0|0|-|-|-");
}

TEST(DatabaseViewTest, ProvenanceAndDiscardsReadAsOneRowEach) {
  const TempFolder folder;
  Database database = Database::Open(folder / "p.db", OpenMode::kCreate);
  const std::int64_t environment = database.AddEnvironment(SomeMachine());
  database.AddTrial(environment, SomeAttention(1, {5, 6}));
  EXPECT_EQ(ShellText(folder / "p.db",
                      "SELECT governor || '|' || dirty || '|' || argv || '|' || trials "
                      "FROM v_provenance"),
            "powersave|yes|dbsp-profile --db a b.db |1");
  EXPECT_EQ(ShellText(folder / "p.db", "SELECT discarded || ' ' || kept FROM v_discards"), "1 2");
}

}  // namespace
}  // namespace dbsp::db
