// SPDX-License-Identifier: Apache-2.0
#include "runtime/device.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <cstdio>
#include <memory>

#include "core/cli.h"
#include "core/error.h"
#include "runtime/dynamic_library.h"
#include "runtime/host.h"

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

TEST(DeviceTest, TheCpuIsAlwaysThere) { EXPECT_NO_THROW(RequireDevice({})); }

TEST(DeviceTest, AGpuThatCannotBeUsedIsUnavailableInWords) {
  const auto [code, message] = ErrorOf([] { RequireDevice({DeviceKind::kCuda, 0}); });
  EXPECT_EQ(code, ErrorCode::kUnavailable);
  EXPECT_EQ(ExitCode(code), 3);
  EXPECT_THAT(message, HasSubstr("--device cuda: unavailable: "));
  bool driver = true;
  try {
    const DynamicLibrary library("libcuda.so.1", "no NVIDIA driver");
  } catch (const Error&) {
    driver = false;
  }
  if (!driver) {
    EXPECT_EQ(message, "--device cuda: unavailable: no NVIDIA driver (libcuda.so.1 not found)");
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

TEST(DynamicLibraryTest, AFileThatIsNoLibraryIsNotCalledMissing) {
  const std::string path = fmt::format("{}/not_a_library.so", ::testing::TempDir());
  std::FILE* file = std::fopen(path.c_str(), "w");
  ASSERT_NE(file, nullptr);
  std::fputs("text", file);
  std::fclose(file);
  const auto [code, message] = ErrorOf([&] { DynamicLibrary(path, "no toy"); });
  EXPECT_EQ(code, ErrorCode::kUnavailable);
  EXPECT_THAT(message, HasSubstr("cannot be loaded"));
}

TEST(ProvenanceTest, SaysWhatTheKernelSays) {
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

TEST(ProvenanceTest, CoresAreThoseThisProcessMayUse) {
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

TEST(BinaryTest, NothingOfAVendorIsLinked) {
  // This test links what the tools link of runtime/: what it needs to start must be on any machine.
  const std::string command = fmt::format("ldd {}/bin/runtime_device_test", DBSP_BINARY_DIR);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  ASSERT_NE(pipe, nullptr);
  std::string text;
  char line[512];
  while (std::fgets(line, sizeof(line), pipe.get()) != nullptr) text += line;
  ASSERT_THAT(text, HasSubstr("libc.so"));
  for (const char* vendor :
       {"libcuda", "libcudart", "libnccl", "libcupti", "libnvidia", "libnvrtc"}) {
    EXPECT_THAT(text, ::testing::Not(HasSubstr(vendor)));
  }
}

}  // namespace
}  // namespace dbsp::runtime
