// SPDX-License-Identifier: Apache-2.0
#include "runtime/device.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <cstdio>
#include <filesystem>
#include <map>
#include <sstream>
#include <string>

#include "build_config.h"
#include "core/cli.h"
#include "core/error.h"
#include "runtime/cuda/cuda_driver.h"
#include "runtime/dynamic_library.h"
#include "runtime/host.h"
#include "runtime/nccl/nccl_library.h"
#include "tests/cli/run_tool.h"
#include "tests/core/temporary_folder.h"
#include "tests/runtime/fake_vendor.h"

namespace dbsp::runtime {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

template <typename F>
std::pair<ErrorCode, std::string> ErrorOf(const F& call) {
  try {
    call();
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  ADD_FAILURE() << "no Error was thrown";
  return {};
}

TEST(DeviceTest, NamesAreParsed) {
  EXPECT_EQ(ParseDevice("cpu").kind, DeviceKind::kCpu);
  EXPECT_EQ(ParseDevice("cuda").kind, DeviceKind::kCuda);
  EXPECT_EQ(ParseDevice("cuda").index, 0);
  EXPECT_EQ(ParseDevice("cuda:12").index, 12);
}

TEST(DeviceTest, OtherNamesAreRefused) {
  for (const char* text : {"",
                           "gpu",
                           "CPU",
                           "cuda:",
                           "cuda:-1",
                           "cuda:-0",
                           "cuda:1x",
                           "cuda:+1",
                           "cuda: 1",
                           "cuda:99999999999",
                           "cuda1",
                           "cpu:0"}) {
    const auto [code, message] = ErrorOf([&] { (void)ParseDevice(text); });
    EXPECT_EQ(code, ErrorCode::kInvalidArgument) << text;
    EXPECT_THAT(message, HasSubstr("cuda:N")) << text;
  }
}

TEST(DynamicLibraryTest, AMissingLibraryAndAMissingFunctionAreNamed) {
  const auto [code, message] = ErrorOf([] { DynamicLibrary("libnowhere.so.9", "no toy"); });
  EXPECT_EQ(code, ErrorCode::kUnavailable);
  EXPECT_EQ(message, "no toy (libnowhere.so.9 not found)");
  const DynamicLibrary libm("libm.so.6", "no libm");
  EXPECT_EQ(libm.Get<double(double)>("cos")(0.0), 1.0);
  EXPECT_THAT(ErrorOf([&] { (void)libm.Get<void()>("no_such_function"); }).second,
              HasSubstr("no_such_function"));
}

TEST(DynamicLibraryTest, AFileThatIsNoLibraryIsNotReportedAsMissing) {
  const std::string path = fmt::format("{}/not_a_library.so", ::testing::TempDir());
  std::FILE* file = std::fopen(path.c_str(), "w");
  ASSERT_NE(file, nullptr);
  std::fputs("text", file);
  std::fclose(file);
  const auto [code, message] = ErrorOf([&] { DynamicLibrary(path, "no toy"); });
  EXPECT_EQ(code, ErrorCode::kUnavailable);
  EXPECT_THAT(message, HasSubstr("cannot be loaded"));
}

TEST(ProvenanceTest, HasTheFactsOfTheSystem) {
  const char* argv[] = {"dbsp-profile", "--device", "cpu"};
  const Provenance facts = CollectProvenance({}, 3, argv);
  EXPECT_EQ(facts.device_kind, "cpu");
  EXPECT_FALSE(facts.device_name.empty());
  EXPECT_EQ(facts.argv, (std::vector<std::string>{"dbsp-profile", "--device", "cpu"}));
  EXPECT_GT(facts.memory_bytes, std::int64_t{64} << 20);
  EXPECT_EQ(facts.git_commit, BuildCommit());
  EXPECT_EQ(facts.git_dirty, BuildDirty());
  EXPECT_FALSE(facts.compiler.empty());
  EXPECT_FALSE(facts.host.empty());
  EXPECT_THAT(facts.started_utc,
              MatchesRegex("[0-9]+-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]Z"));
  EXPECT_EQ(facts.extra.count("governor"), 1U);
}

TEST(ProvenanceTest, CoresFollowTheAffinityOfThisProcess) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  EXPECT_EQ(UsableCores(), CPU_COUNT(&before));
  cpu_set_t one;
  CPU_ZERO(&one);
  for (int core = 0; core < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++core) {
    if (CPU_ISSET(core, &before)) CPU_SET(core, &one);
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  EXPECT_EQ(UsableCores(), 1);
  ASSERT_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
}

TEST(ProvenanceTest, CpuInfoFieldsAreFoundByTheirWholeName) {
  const std::string text = "processor\t: 0\nmodel\t\t: 17\nmodel name\t: AMD EPYC: 9\nempty :\n";
  EXPECT_EQ(FieldOf(text, "model name"), "AMD EPYC: 9");
  EXPECT_EQ(FieldOf(text, "model"), "17");
  EXPECT_EQ(FieldOf(text, "empty"), "");
  EXPECT_EQ(FieldOf(text, "name"), std::nullopt);
}

// Starts tests/runtime/print_provenance, because the dynamic linker reads LD_LIBRARY_PATH only at
// start.
std::map<std::string, std::string> ExtraFactsOfAProcess(const std::string& device = "cpu") {
  const dbsp::testing::ToolResult run =
      dbsp::testing::RunTool("runtime_print_provenance", {device});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  std::map<std::string, std::string> facts;
  std::istringstream lines(run.out);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t equals = line.find('=');
    facts[line.substr(0, equals)] = line.substr(equals + 1);
  }
  EXPECT_EQ(facts.count("kernel"), 1U) << run.out;
  return facts;
}

TEST(ProvenanceTest, HasTheVersionsOfInstalledVendorLibraries) {
  const auto path = dbsp::testing::LibrariesFrom(dbsp::testing::kFakeLibraries);
  const auto facts = ExtraFactsOfAProcess();
  const auto value = [&](const char* name) {
    const auto fact = facts.find(name);
    return fact == facts.end() ? "absent" : fact->second;
  };
  EXPECT_EQ(value("cuda_driver"), DBSP_HAVE_CUDA ? "13.1" : "absent");
  // A build without CUDA finds no driver, so the libraries that need one are not asked.
  EXPECT_EQ(value("nvml_driver"), DBSP_HAVE_CUDA && DBSP_HAVE_NVML ? "580.12.34" : "absent");
  EXPECT_EQ(value("nccl_runtime"), DBSP_HAVE_NCCL ? "2.23.7" : "absent");
  EXPECT_EQ(value("nccl_header"), NcclLibrary::HeaderVersion().value_or("absent"));
  EXPECT_EQ(value("cupti_runtime"), DBSP_HAVE_CUPTI ? "13.1.2" : "absent");
}

TEST(ProvenanceTest, WithoutADriverTheOtherLibrariesAreNotSearched) {
  const dbsp::testing::TemporaryFolder folder;
  for (const char* name : {"libnccl.so.2", "libcupti.so.13"}) {
    std::filesystem::copy_file(dbsp::testing::FakeLibrary(name), folder / name);
  }
  const auto path = dbsp::testing::LibrariesFrom(folder.path().string());
  const auto facts = ExtraFactsOfAProcess();
  if (facts.contains("cuda_driver")) GTEST_SKIP() << "this machine has an NVIDIA driver";
  EXPECT_EQ(facts.count("nccl_runtime"), 0U);
  EXPECT_EQ(facts.count("cupti_runtime"), 0U);
}

TEST(ProvenanceTest, AGpuIsDescribedWithItsLinks) {
  if (!DBSP_HAVE_CUDA) GTEST_SKIP() << "this build has no CUDA";
  const auto path = dbsp::testing::LibrariesFrom(dbsp::testing::kFakeLibraries);
  const dbsp::testing::EnvironmentVariable devices("DBSP_FAKE_CUDA_DEVICES", "2");
  auto facts = ExtraFactsOfAProcess("cuda:1");
  EXPECT_EQ(facts["name"], "Fake GPU");
  EXPECT_EQ(facts["uuid"], "GPU-10111213-1415-1617-1819-1a1b1c1d1e1f");
  EXPECT_EQ(facts["gpu_index"], "1");
  EXPECT_EQ(facts["gpu_pci"], "0000:18:00.0");
  EXPECT_EQ(facts["cuda_header"], CudaDriver::HeaderVersion().value_or("absent"));
  if (!DBSP_HAVE_NVML) {
    EXPECT_THAT(facts["nvml"], HasSubstr("not built"));
    return;
  }
  EXPECT_EQ(facts["gpu_vbios"], "96.00.99.00.01");
  EXPECT_EQ(facts["gpu_ecc"], "on, off after reboot");
  EXPECT_EQ(facts["gpu_link_0_1"], "read ok, write ok, nvlink ok, 2 direct links");
  EXPECT_EQ(facts.count("gpu_link_0_2"), 0U);  // the third is not visible to this process
  EXPECT_EQ(facts.count("nvml"), 0U);
}

TEST(ProvenanceTest, MigGivesAWarningOfOneLine) {
  Provenance machine;
  machine.device_name = "NVIDIA H200 MIG 1g.18gb";
  EXPECT_EQ(WarningOf(machine), std::nullopt) << "without NVML MIG is unknown";
  for (const char* off : {"off", "off, on after reboot"}) {
    machine.extra["gpu_mig"] = off;
    EXPECT_EQ(WarningOf(machine), std::nullopt) << off;
  }
  for (const char* on : {"on", "on, off after reboot"}) {
    machine.extra["gpu_mig"] = on;
    const std::string warning = WarningOf(machine).value_or("");
    EXPECT_THAT(warning, HasSubstr("warning: MIG is on: NVIDIA H200 MIG 1g.18gb is a part"));
    EXPECT_EQ(warning.find('\n'), std::string::npos);
  }
}

TEST(ProvenanceTest, AGpuWithoutNvmlHasTheReason) {
  if (!DBSP_HAVE_CUDA) GTEST_SKIP() << "this build has no CUDA";
  const auto path = dbsp::testing::LibrariesFrom(dbsp::testing::kFakeLibraries);
  const dbsp::testing::EnvironmentVariable devices("DBSP_FAKE_CUDA_DEVICES", "1");
  const dbsp::testing::EnvironmentVariable init("DBSP_FAKE_NVML_INIT", "18");
  auto facts = ExtraFactsOfAProcess("cuda");
  EXPECT_EQ(facts["gpu_pci"], "0000:17:00.0");
  EXPECT_THAT(facts["nvml"], HasSubstr("NVML: unavailable: "));
  EXPECT_EQ(facts.count("gpu_vbios"), 0U);
}

TEST(ProvenanceTest, LibrariesThatDoNotWorkAreLeftOut) {
  const auto path = dbsp::testing::LibrariesFrom(dbsp::testing::kOldFakeLibraries);
  const auto facts = ExtraFactsOfAProcess();
  EXPECT_EQ(facts.count("nvml_driver"), 0U);
  EXPECT_EQ(facts.count("nccl_runtime"), 0U);
  EXPECT_EQ(facts.count("cupti_runtime"), 0U);
}

TEST(ProvenanceTest, NcclsEnvironmentIsStored) {
  const dbsp::testing::EnvironmentVariable algorithm("NCCL_ALGO", "ring=x");
  const dbsp::testing::EnvironmentVariable empty("NCCL_PROTO", "");
  const dbsp::testing::EnvironmentVariable other("MY_NCCL_ALGO", "tree");
  const char* argv[] = {"dbsp-profile"};
  const Provenance facts = CollectProvenance({}, 1, argv);
  EXPECT_EQ(facts.extra.at("NCCL_ALGO"), "ring=x");
  EXPECT_EQ(facts.extra.at("NCCL_PROTO"), "");
  EXPECT_EQ(facts.extra.count("MY_NCCL_ALGO"), 0U);
}

}  // namespace
}  // namespace dbsp::runtime
