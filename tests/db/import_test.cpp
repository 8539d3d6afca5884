// SPDX-License-Identifier: Apache-2.0
#include "db/import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "core/error.h"
#include "db/comparison.h"
#include "db/table.h"
#include "tests/db/fixtures.h"

namespace dbsp::db {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr const char* kTable = R"(# nccl-tests version 2.17.6 nccl-headers=22807 nccl-library=22807
# Collective test starting: alltoall_perf
# nThread 1 nGpus 2 minBytes 8 maxBytes 1048576 step: 2(factor) warmup iters: 5 iters: 20
# Using devices
#  Rank  0 Group  0 Pid     78 on node-a device  0 [0000:07:00] NVIDIA H200
#  Rank  1 Group  0 Pid     80 on node-b device  0 [0000:07:00] NVIDIA H200
#
#                                            out-of-place               in-place
#  size    count   type  redop root     time  algbw  busbw #wrong     time  algbw  busbw #wrong
#   (B) (elements)                      (us) (GB/s) (GB/s)            (us) (GB/s) (GB/s)
      0             0  float  none  -1     0.06  0.00  0.00      0     0.06  0.00  0.00    N/A
1048576        131072  float  none  -1    52.31  20.05  10.03      0    52.12  20.12  10.06  N/A
# Out of bounds values : 0 OK
)";

ImportRequest WithOp(const std::string& op) {
  ImportRequest request;
  request.op = op;
  return request;
}

ImportRequest WithDevice(const std::string& device) {
  ImportRequest request;
  request.device = device;
  return request;
}

ImportRequest WithFormat(ImportFormat format) {
  ImportRequest request;
  request.format = format;
  return request;
}

class ImportTest : public ::testing::Test {
 protected:
  ImportedFile Import(const std::string& name,
                      const std::string& text,
                      ImportRequest request = {}) {
    request.path = folder_.path() / name;
    std::ofstream(request.path, std::ios::binary) << text;
    return ReadImport(request);
  }
  std::string ErrorOf(const std::string& name,
                      const std::string& text,
                      ImportRequest request = {}) {
    try {
      (void)Import(name, text, std::move(request));
    } catch (const Error& error) {
      EXPECT_TRUE(error.code() == ErrorCode::kCorruptInput ||
                  error.code() == ErrorCode::kInvalidArgument)
          << error.what();
      return error.what();
    }
    ADD_FAILURE() << "was taken: " << text;
    return {};
  }
  static std::string Changed(std::string text, const std::string& from, const std::string& to) {
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  }

  TempFolder folder_;
};

const ExchangeConfig& ExchangeOf(const Trial& trial) {
  return std::get<ExchangeConfig>(trial.config);
}

TEST_F(ImportTest, NcclTestsTableGivesBytesToOthersHostsAndRanks) {
  const ImportedFile file = Import("a.txt", kTable);
  EXPECT_EQ(file.format, ImportFormat::kNcclTests);
  ASSERT_THAT(file.runs, SizeIs(1));
  EXPECT_EQ(file.runs[0].provenance.device_name, "NVIDIA H200");
  EXPECT_EQ(file.runs[0].provenance.host, "node-a,node-b");
  ASSERT_THAT(file.runs[0].trials, SizeIs(1)) << "the row of 0 bytes is left out";
  const Trial& trial = file.runs[0].trials[0];
  EXPECT_EQ(ExchangeOf(trial).op, "alltoall");
  EXPECT_EQ(ExchangeOf(trial).ranks, 2);
  EXPECT_EQ(ExchangeOf(trial).nodes, 2);
  EXPECT_EQ(ExchangeOf(trial).bytes_per_rank, 524288);
  EXPECT_THAT(trial.samples_ns, ElementsAre(52310));
  EXPECT_EQ(trial.detail, "mean of 20 calls");
}

TEST_F(ImportTest, NcclTestsOfOlderVersionsAndTagsOfMpirunAreRead) {
  // Version 1: no line with the collective, no column root, errors called "error".
  const std::string old =
      "# nThread 1 nGpus 2 minBytes 8 maxBytes 8 step: 2(factor) warmup iters: 5 iters: 20 "
      "validation: 1\n"
      "#   Rank  0 Pid  1 on host device  0 [0x07] A100\n#   Rank  1 Pid  1 on host device  1 "
      "[0x08] A100\n"
      "#       size         count    type   redop     time   algbw   busbw  error     time   algbw "
      "  busbw  error\n"
      "        1024           256   float            11.5    0.09    0.09  0e+00    11.4    0.09   "
      " 0.09    N/A\n";
  EXPECT_THAT(ErrorOf("o.txt", old), HasSubstr("line 5, row: the file does not say which"));
  const ImportedFile file = Import("o.txt", old, WithOp("sendrecv"));
  EXPECT_EQ(ExchangeOf(file.runs[0].trials[0]).op, "hop");
  EXPECT_EQ(ExchangeOf(file.runs[0].trials[0]).bytes_per_rank, 1024);
  EXPECT_THAT(file.runs[0].trials[0].samples_ns, ElementsAre(11500));
  std::string tagged = "[1,0]<stdout>:" + std::string(kTable);
  for (std::size_t at = 0; (at = tagged.find('\n', at)) + 1 < tagged.size(); ++at) {
    tagged.insert(at + 1, "[1,0]<stdout>:");
  }
  EXPECT_THAT(Import("t.txt", tagged).runs[0].trials, SizeIs(1));
  const ImportedFile two = Import("two.txt", kTable + Changed(kTable, "alltoall", "all_gather"));
  ASSERT_THAT(two.runs, SizeIs(2));
  EXPECT_EQ(ExchangeOf(two.runs[1].trials[0]).op, "allgather");
}

TEST_F(ImportTest, HostileTablesNameLineAndField) {
  const auto error = [&](const std::string& from, const std::string& to) {
    return ErrorOf("a.txt", Changed(kTable, from, to));
  };
  for (const char* time : {"-3", "0", "nan", "inf", "1e400", "fast"}) {
    EXPECT_THAT(error("   52.31", std::string("  ") + time), HasSubstr("line 12, time")) << time;
  }
  EXPECT_THAT(error("1048576        131072", "1048x76        131072"), HasSubstr("line 12, size"));
  EXPECT_THAT(error("1048576        131072", "99999999999999999999 1"), HasSubstr("line 12, size"));
  EXPECT_THAT(error("busbw #wrong     time", "bw  #wrong     cputime"), HasSubstr(": line 9"));
  EXPECT_THAT(error("     0    52.12  20.12  10.06  N/A", ""), HasSubstr("the line is cut"));
  EXPECT_THAT(error("#  Rank  1", "#  Tank  1"), HasSubstr("1 ranks are listed"));
  EXPECT_THAT(ErrorOf("e.txt", ""), HasSubstr("no known format"));
  EXPECT_THAT(ErrorOf("e.txt", "# nThread 1\n"), HasSubstr("expected the table"));
  const ImportedFile wrong = Import("w.txt", Changed(kTable, "10.03      0", "10.03      7"));
  EXPECT_EQ(wrong.runs[0].trials[0].outcome, TrialOutcome::kWrong);
}

TEST_F(ImportTest, NcclTestsJsonIsRead) {
  const std::string text = R"({"version": "2.18.3", "config": {"iterations": 20, "devices": [
      {"rank": 0, "hostname": "n", "device_info": "NVIDIA H100"},
      {"rank": 1, "hostname": "n", "device_info": "NVIDIA H100"}]},
      "results": [{"size": 1000, "count": 250, "type": "float", "redop": "none", "root": "-1",
       "out_of_place": {"time": 20.5, "alg_bw": 1, "bus_bw": 1, "nwrong": null},
       "in_place": {"time": 20.1, "alg_bw": 1, "bus_bw": 1, "nwrong": 0},
       "experiment_name": "reduce_scatter_perf"}]})";
  const ImportedFile file = Import("a.json", text);
  EXPECT_EQ(file.format, ImportFormat::kNcclTestsJson);
  const Trial& trial = file.runs[0].trials[0];
  EXPECT_EQ(ExchangeOf(trial).op, "reducescatter");
  EXPECT_EQ(ExchangeOf(trial).bytes_per_rank, 500);
  EXPECT_THAT(trial.samples_ns, ElementsAre(20500));
  EXPECT_THAT(ErrorOf("b.json", Changed(text, "20.5", "null")), HasSubstr("out_of_place.time"));
  EXPECT_THAT(ErrorOf("b.json", Changed(text, "\"size\": 1000", "\"size\": -1")),
              HasSubstr("results[0].size"));
  EXPECT_THAT(ErrorOf("b.json", text.substr(0, 200)), HasSubstr("b.json: line"));
}

TEST_F(ImportTest, GoogleBenchmarkRepetitionsAreSamples) {
  const std::string text = R"({"context": {"host_name": "h", "num_cpus": 2}, "benchmarks": [
      {"name": "A/8", "run_name": "A/8", "run_type": "iteration",
       "real_time": 2.5, "time_unit": "us"},
      {"name": "A/8", "run_name": "A/8", "run_type": "iteration",
       "real_time": 3.5, "time_unit": "us"},
      {"name": "A/8_mean", "run_name": "A/8", "run_type": "aggregate", "aggregate_name": "mean",
       "real_time": 3, "time_unit": "us"},
      {"name": "B", "real_time": 0, "error_occurred": true, "error_message": "no"}]})";
  const ImportedFile file = Import("g.json", text);
  ASSERT_THAT(file.runs[0].trials, SizeIs(1));
  EXPECT_EQ(Describe(file.runs[0].trials[0].config), "benchmark:A/8");
  EXPECT_THAT(file.runs[0].trials[0].samples_ns, ElementsAre(2500, 3500));
  EXPECT_THAT(file.notes, SizeIs(2));
  EXPECT_THAT(ErrorOf("g.json", Changed(text, "2.5", "-2.5")),
              HasSubstr("benchmark 'A/8', real_time"));
  EXPECT_THAT(ErrorOf("g.json", Changed(text, "\"us\"", "\"weeks\"")), HasSubstr("time_unit"));
}

TEST_F(ImportTest, TorchTracesGiveKernelsAndCollectivesWithTheirSizes) {
  const std::string text = R"({"schemaVersion": 1, "deviceProperties": [{"name": "NVIDIA H200"}],
      "distributedInfo": {"rank": 3}, "traceEvents": [
      {"ph": "X", "cat": "cpu_op", "name": "aten::mm", "dur": 5},
      {"ph": "X", "cat": "kernel", "name": "flash_fwd", "ts": 1, "dur": 12.5},
      {"ph": "X", "cat": "kernel", "name": "ncclDevKernel_SendRecv", "ts": 2, "dur": 40,
       "args": {"Collective name": "all_to_allv", "In msg nelems": 800, "Out msg nelems": 800,
                "Group size": 8, "dtype": "BFloat16"}}]})";
  const ImportedFile file = Import("t.json", text);
  ASSERT_THAT(file.runs[0].trials, SizeIs(2));
  EXPECT_EQ(Describe(file.runs[0].trials[0].config), "kernel:flash_fwd");
  EXPECT_EQ(ExchangeOf(file.runs[0].trials[1]).bytes_per_rank, 1400);
  EXPECT_THAT(file.notes, ElementsAre(HasSubstr("wait for the last rank")));
  EXPECT_THAT(ErrorOf("t.json", Changed(text, "12.5", "0")), HasSubstr("traceEvents[1].dur"));
  EXPECT_THAT(ErrorOf("t.json", Changed(text, "\"Group size\": 8", "\"Group size\": -8")),
              HasSubstr("Group size"));
  EXPECT_THAT(ErrorOf("t.json", R"({"traceEvents": []})"), HasSubstr("no time to import"));
}

TEST_F(ImportTest, NsightSystemsKernelsAndRangesAreRead) {
  const std::string path = (folder_.path() / "n.sqlite").string();
  const auto run = [&](const char* sql) {
    sqlite3* handle = nullptr;
    ASSERT_EQ(sqlite3_open(path.c_str(), &handle), SQLITE_OK);
    char* message = nullptr;
    EXPECT_EQ(sqlite3_exec(handle, sql, nullptr, nullptr, &message), SQLITE_OK) << message;
    sqlite3_close(handle);
  };
  run("CREATE TABLE StringIds(id INTEGER PRIMARY KEY, value TEXT);"
      "INSERT INTO StringIds VALUES (1, 'void flash<128>()'), (2, 'step');"
      "CREATE TABLE TARGET_INFO_GPU(name TEXT); INSERT INTO TARGET_INFO_GPU VALUES ('NVIDIA A100');"
      "CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL(start INTEGER, \"end\" INTEGER, demangledName "
      "INTEGER);"
      "INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES (10, 110, 1), (200, 320, 1), (0, 0, 1);"
      "CREATE TABLE NVTX_EVENTS(start INTEGER, \"end\" INTEGER, eventType INTEGER, text TEXT, "
      "textId "
      "INTEGER); INSERT INTO NVTX_EVENTS VALUES (5, 405, 59, NULL, 2), (5, NULL, 34, 'mark', "
      "NULL)");
  ImportRequest request;
  request.path = path;
  const ImportedFile file = ReadImport(request);
  ASSERT_THAT(file.runs[0].trials, SizeIs(2));
  EXPECT_EQ(file.runs[0].provenance.device_name, "NVIDIA A100");
  EXPECT_EQ(Describe(file.runs[0].trials[0].config), "kernel:void flash<128>()");
  EXPECT_THAT(file.runs[0].trials[0].samples_ns, ElementsAre(100, 120));
  EXPECT_EQ(Describe(file.runs[0].trials[1].config), "nvtx:step");
  EXPECT_THAT(file.notes, ElementsAre(HasSubstr("not collected")));
  const auto error = [&] {
    try {
      (void)ReadImport(request);
    } catch (const Error& caught) {
      EXPECT_EQ(caught.code(), ErrorCode::kCorruptInput);
      return std::string(caught.what());
    }
    return std::string("no error");
  };
  run("INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES (500, 400, 1)");
  EXPECT_THAT(error(), HasSubstr("CUPTI_ACTIVITY_KIND_KERNEL, row 4, end"));
  run("DELETE FROM CUPTI_ACTIVITY_KIND_KERNEL WHERE start = 500;"
      "INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES (1, 2, 99)");
  EXPECT_THAT(error(), HasSubstr("name: none"));
  run("DROP TABLE CUPTI_ACTIVITY_KIND_KERNEL; CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL(start "
      "INTEGER)");
  EXPECT_THAT(error(), HasSubstr("no column end"));
  run("DROP TABLE CUPTI_ACTIVITY_KIND_KERNEL; DROP TABLE NVTX_EVENTS");
  EXPECT_THAT(error(), HasSubstr("neither CUPTI_ACTIVITY_KIND_KERNEL nor NVTX_EVENTS"));
  EXPECT_THAT(ErrorOf("x.sqlite", "not a database", WithFormat(ImportFormat::kNsys)),
              HasSubstr("not an SQLite file"));
}

TEST_F(ImportTest, ExportedTablesAreReadBackUnchanged) {
  const std::string path = (folder_.path() / "p.db").string();
  Database database = Database::Open(path, OpenMode::kCreate);
  Trial trial = SomeAttention(7, {1200, 1180, 1300});
  trial.detail = "a \"quoted\", text\nof two lines";
  database.AddTrial(database.AddEnvironment(SomeMachine()), trial);
  for (const TableFormat format : {TableFormat::kCsv, TableFormat::kJsonLines}) {
    const ImportedFile file =
        Import(format == TableFormat::kCsv ? "t.csv" : "t.jsonl", TrialTable(database, format));
    ASSERT_THAT(file.runs, SizeIs(1));
    const Trial& back = file.runs[0].trials.at(0);
    EXPECT_EQ(KeyOf(back.config), KeyOf(trial.config));
    EXPECT_EQ(back.samples_ns, trial.samples_ns);
    EXPECT_EQ(back.detail, trial.detail);
    EXPECT_EQ(back.method, trial.method);
    EXPECT_EQ(file.runs[0].provenance.device_name, SomeMachine().device_name);
  }
}

TEST_F(ImportTest, TablesOfUsersNeedOnlyTheColumnsOfTheirKind) {
  const ImportedFile file = Import("u.csv",
                                   "kind,op,ranks,bytes_per_rank,time_us\r\n"
                                   "exchange,alltoall,8,1000000,25.5\r\n",
                                   WithDevice("my GPU"));
  EXPECT_EQ(ExchangeOf(file.runs[0].trials[0]).transport, "nccl");
  EXPECT_THAT(file.runs[0].trials[0].samples_ns, ElementsAre(25500));
  EXPECT_EQ(file.runs[0].provenance.device_name, "my GPU");
  EXPECT_THAT(ErrorOf("u.csv", "kind,op,time_us\nlocal,pack,1\n"), HasSubstr("give --device"));
}

TEST_F(ImportTest, HostileTablesOfUsersNameLineAndColumn) {
  const ImportRequest gpu = WithDevice("g");
  const std::string head = "kind,op,ranks,bytes_per_rank,time_us\n";
  EXPECT_THAT(ErrorOf("u.csv", "kind,opp\n", gpu), HasSubstr("nearest known: 'op'"));
  EXPECT_THAT(ErrorOf("u.csv", "kind,kind\n", gpu), HasSubstr("there twice"));
  EXPECT_THAT(ErrorOf("u.csv", head + "exchange,alltoall,8,9\n", gpu),
              HasSubstr("line 2: 4 fields"));
  EXPECT_THAT(ErrorOf("u.csv", head + "exchange,alltoall,8,9,\n", gpu), HasSubstr("no time"));
  EXPECT_THAT(ErrorOf("u.csv", head + "exchange,alltoall,8,9,-1\n", gpu),
              HasSubstr("line 2, time_us: -1"));
  EXPECT_THAT(ErrorOf("u.csv", head + "exchange,alltoall,many,9,1\n", gpu),
              HasSubstr("line 2, ranks: 'many'"));
  EXPECT_THAT(ErrorOf("u.csv", head + "swap,alltoall,8,9,1\n", gpu), HasSubstr("line 2, kind"));
  EXPECT_THAT(ErrorOf("u.csv", head + "exchange,\"allto,8,9,1\n", gpu),
              HasSubstr("line 2: a quote that does not end"));
  EXPECT_THAT(ErrorOf("u.csv", "", gpu), HasSubstr("a line of columns"));
  EXPECT_THAT(ErrorOf("u.jsonl", "{\"kind\": \"local\", \"op\": \"pack\"}\n[1]\n", gpu),
              HasSubstr("line 1: no time"));
  EXPECT_THAT(ErrorOf("u.jsonl", "\n[1]\n", gpu), HasSubstr("line 2: expected an object"));
  EXPECT_THAT(ErrorOf("u.jsonl", "{\"kind\": NaN}\n", gpu), HasSubstr("u.jsonl: line 1"));
}

Trial Pack(std::int64_t bytes, std::vector<std::int64_t> samples) {
  Trial trial;
  trial.config = LocalConfig{.op = "pack", .amount = bytes, .head_dim = 64, .block = {64, 64}};
  trial.method = "cpu.thread_time";
  trial.stop_reason = "spread";
  trial.samples_ns = std::move(samples);
  trial.started_utc = "2026-01-31T12:34:57Z";
  return trial;
}

TEST_F(ImportTest, ComparisonHasAVerdictPerRow) {
  Database a = Database::Open(folder_.path() / "a.db", OpenMode::kCreate);
  Database b = Database::Open(folder_.path() / "b.db", OpenMode::kCreate);
  const auto in_a = a.AddEnvironment(SomeMachine());
  const auto in_b = b.AddEnvironment(SomeMachine());
  const std::vector<std::int64_t> calm{1000, 1001, 1002, 1003, 999, 998};
  const auto scaled = [&](double factor) {
    std::vector<std::int64_t> out;
    for (const std::int64_t ns : calm)
      out.push_back(std::llround(factor * static_cast<double>(ns)));
    return out;
  };
  a.AddTrial(in_a, Pack(1, calm));
  b.AddTrial(in_b, Pack(1, scaled(1.01)));
  a.AddTrial(in_a, Pack(2, calm));
  b.AddTrial(in_b, Pack(2, scaled(0.5)));
  a.AddTrial(in_a, Pack(3, calm));
  b.AddTrial(in_b, Pack(3, scaled(2)));
  a.AddTrial(in_a, Pack(4, {1000}));
  b.AddTrial(in_b, Pack(4, {2000}));
  a.AddTrial(in_a, Pack(5, calm));
  b.AddTrial(in_b, Pack(6, calm));
  a.AddTrial(in_a, Pack(1, scaled(1.001)));  // newer
  const Comparison result = CompareDatabases(a, b);
  ASSERT_THAT(result.rows, SizeIs(4));
  EXPECT_EQ(result.Count(GainVerdict::kSame), 1);
  EXPECT_EQ(result.Count(GainVerdict::kFaster), 1);
  EXPECT_EQ(result.Count(GainVerdict::kSlower), 1);
  EXPECT_EQ(result.Count(GainVerdict::kAmbiguous), 1);
  EXPECT_EQ(result.only_first, 1);
  EXPECT_EQ(result.only_second, 1);
  const std::string text = ComparisonText(result, "a.db", "b.db");
  EXPECT_THAT(text, HasSubstr("1 FASTER, 1 SLOWER, 1 SAME, 1 AMBIGUOUS; 1 only in A, 1 only in B"));
  EXPECT_THAT(text, HasSubstr("Rule: SAME: the times differ by less than 2%"));
  EXPECT_THAT(ComparisonJson(result, "a", "b"), HasSubstr("\"ratio_high\": null"));
}

TEST_F(ImportTest, VacuumShrinksTheFileAndKeepsTheRecords) {
  Database database = Database::Open(folder_.path() / "v.db", OpenMode::kCreate);
  database.AddTrial(database.AddEnvironment(SomeMachine()), Pack(1, {5}));
  database.Vacuum();
  EXPECT_THAT(database.Trials(), SizeIs(1));
  EXPECT_TRUE(database.Integrity().ok());
}

}  // namespace
}  // namespace dbsp::db
