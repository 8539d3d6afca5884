// SPDX-License-Identifier: Apache-2.0
// Plugins as the loader sees them: facts, mask forms, and every way in which a plugin can be wrong.
#include "kernels/plugin.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <random>

#include "core/error.h"
#include "core/file.h"
#include "test_paths.h"
#include "tests/core/temporary_folder.h"

namespace dbsp::kernels {
namespace {

using ::testing::HasSubstr;

std::string PluginFile(const std::string& mode) {
  return DBSP_BINARY_DIR "/plugins/" + mode + ".so";
}

const PluginKernel& Kernel(const std::string& name) {
  const std::array files{PluginFile("good")};
  UsePlugins(files);  // a second call does nothing
  return *FindCpuAttention(name).plugin;
}

/// The error of loading a plugin.
Error LoadError(const std::string& file) {
  try {
    const std::array files{file};
    UsePlugins(files);
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << file << " was loaded";
  return {ErrorCode::kInternal, ""};
}

/// Two heads with the same shape: 3 query blocks of 8, the last with 5 rows; 4 key blocks of 4, the
/// last with 3. One row of blocks is empty.
struct Case {
  Case() {
    std::mt19937 random(7);
    std::uniform_real_distribution<float> draw(-1, 1);
    for (auto* values : {&q, &k, &v}) {
      for (float& value : *values) value = draw(random);
    }
    args.head_dim = kDim;
    args.block = {8, 4};
    args.scale = 0.25F;
    args.q_blocks = 3;
    args.k_blocks = 4;
    args.q_tokens = q_tokens;
    args.k_tokens = k_tokens;
    args.list_begin = begin;
    args.list = list;
  }
  /// The reference, head by head.
  void Reference() {
    for (int head = 0; head < kHeads; ++head) {
      AttentionArgs one = args;
      one.q = q.data() + head * 24 * kDim;
      one.k = k.data() + head * 16 * kDim;
      one.v = v.data() + head * 16 * kDim;
      one.o = exact_o.data() + head * 24 * kDim;
      one.lse = exact_lse.data() + head * 24;
      one.list_begin = std::span(begin).subspan(head * 3, 4);
      std::vector<std::int64_t> own;
      for (const std::int64_t at : one.list_begin) own.push_back(at - one.list_begin[0]);
      one.list = std::span(list).subspan(static_cast<std::size_t>(begin[head * 3]));
      one.list_begin = own;
      AttentionReference(one);
    }
  }
  static constexpr int kHeads = 2;
  static constexpr int kDim = 16;
  std::vector<float> q = std::vector<float>(kHeads * 24 * kDim);
  std::vector<float> k = std::vector<float>(kHeads * 16 * kDim);
  std::vector<float> v = std::vector<float>(kHeads * 16 * kDim);
  std::vector<float> o = std::vector<float>(kHeads * 24 * kDim, std::nanf(""));
  std::vector<float> lse = std::vector<float>(kHeads * 24, std::nanf(""));
  std::vector<float> exact_o = o;
  std::vector<float> exact_lse = lse;
  std::vector<int> q_tokens{8, 8, 5};
  std::vector<int> k_tokens{4, 4, 4, 3};
  std::vector<std::int64_t> begin{0, 2, 2, 5, 6, 10, 11};
  std::vector<int> list{0, 3, 0, 1, 3, 2, 0, 1, 2, 3, 3};
  AttentionArgs args;
};

class PluginFormTest : public ::testing::TestWithParam<const char*> {};

TEST_P(PluginFormTest, EveryMaskFormGivesTheReferencesResult) {
  Case test;
  test.Reference();
  const PluginKernel& kernel = Kernel(GetParam());
  const PluginCall call(kernel, test.args, Case::kHeads);
  EXPECT_GT(call.prepare_ns(), 0);
  call.Launch(test.q.data(), test.k.data(), test.v.data(), test.o.data(), test.lse.data());
  const double most = std::max(1e-6, kernel.max_relative_error);
  double squares = 0;
  double norm = 0;
  for (std::size_t i = 0; i < test.o.size(); ++i) {
    EXPECT_EQ(std::isnan(test.o[i]), std::isnan(test.exact_o[i])) << i << ": rows beyond q_tokens";
    if (std::isnan(test.exact_o[i])) continue;
    squares += std::pow(test.o[i] - test.exact_o[i], 2);
    norm += std::pow(test.exact_o[i], 2);
  }
  EXPECT_LE(std::sqrt(squares / norm), most);
  for (std::size_t i = 0; i < test.lse.size(); ++i) {
    if (!kernel.Has(DBSP_KERNEL_LSE)) {
      EXPECT_TRUE(std::isnan(test.lse[i]));
    } else if (std::isfinite(test.exact_lse[i])) {
      EXPECT_NEAR(test.lse[i], test.exact_lse[i], std::max(1e-5, most)) << i;
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Forms,
                         PluginFormTest,
                         ::testing::Values("ref.csr",
                                           "ref.padded",
                                           "ref.dense",
                                           "ref.keys",
                                           "ref.no_lse",
                                           "ref.quantised"));

TEST(PluginTest, AKernelIsARowOfTheTableWithNameVersionAndHashOfItsFile) {
  const PluginKernel& kernel = Kernel("ref.csr");
  EXPECT_EQ(kernel.id, "ref.csr@1.0#" + HashFile(PluginFile("good")).substr(0, 16));
  EXPECT_EQ(PluginNameOf(kernel.id), "ref.csr@1.0");
  EXPECT_EQ(PluginNameOf("cpu.block_sparse"), "");
  EXPECT_EQ(&FindCpuAttention("ref.csr@1.0"), &FindCpuAttention(kernel.id));
  EXPECT_EQ(FindCpuAttention("").name, "cpu.block_sparse") << "the default stays";
  EXPECT_TRUE(FindCpuAttention("ref.csr").deterministic);
  EXPECT_FALSE(FindCpuAttention("ref.padded").deterministic);
  EXPECT_FALSE(FactsOf(Kernel("ref.no_lse")).lse);
  const PluginFacts facts = PluginFactsFrom(ToText(FactsOf(Kernel("ref.quantised"))));
  EXPECT_TRUE(facts.lse && facts.quantising);
  EXPECT_EQ(facts.max_relative_error, 0.02);
  EXPECT_EQ(facts.file, "good.so");
}

TEST(PluginTest, AShortBlockThatIsNotTheLastNeedsAFlag) {
  Case test;
  test.q_tokens = {8, 3, 5};
  EXPECT_NO_THROW(PluginCall(Kernel("ref.csr"), test.args, Case::kHeads));
  try {
    PluginCall(Kernel("ref.dense"), test.args, Case::kHeads);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnavailable);
    EXPECT_THAT(error.what(), HasSubstr("query block 1 of 3 has 3 of 8 tokens"));
  }
}

TEST(PluginTest, AnUnknownPluginKernelIsNamedWithTheRemedy) {
  const std::string id = Kernel("ref.csr").id;
  const auto find = [](const std::string& name) {
    try {
      (void)FindCpuAttention(name);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("found");
  };
  EXPECT_THAT(find("other@2#0123456789abcdef"), HasSubstr("give its file with --kernels"));
  EXPECT_THAT(find("ref.csr@1.0#0123456789abcdef"), HasSubstr("has changed"));
  EXPECT_THAT(find("ref.csr@1.0#0123456789abcdef"), HasSubstr(id));
  EXPECT_THAT(find("ref.csx"), HasSubstr("unknown kernel"));
}

TEST(PluginTest, EveryFaultOfALibraryIsOneLineWithTheExpectedValue) {
  const struct {
    const char* mode;
    ErrorCode code;
    std::vector<std::string> words;
  } cases[] = {
      {"old_abi",
       ErrorCode::kInvalidArgument,
       {"compiled for ABI 0, expected 1", "compile it with"}},
      {"short_table",
       ErrorCode::kInvalidArgument,
       {"the plugin's table has 32 bytes, expected 48"}},
      {"short_info", ErrorCode::kInvalidArgument, {"kernel 0: the size of its facts is"}},
      {"no_launch", ErrorCode::kInvalidArgument, {"has no function launch"}},
      {"no_symbol", ErrorCode::kInvalidArgument, {"exports no function dbsp_kernel_plugin"}},
      {"bad_name", ErrorCode::kInvalidArgument, {"kernel 0: name is 'a name#1', expected 1 to 64"}},
      {"no_declared_error",
       ErrorCode::kInvalidArgument,
       {"max_relative_error is 0, expected more than 0, because the kernel quantises"}},
      {"cuda_memory", ErrorCode::kUnavailable, {"it computes in GPU memory"}},
  };
  for (const auto& [mode, code, words] : cases) {
    const Error error = LoadError(PluginFile(mode));
    EXPECT_EQ(error.code(), code) << mode;
    EXPECT_THAT(error.what(), HasSubstr("--kernels " + PluginFile(mode)));
    for (const std::string& word : words) EXPECT_THAT(error.what(), HasSubstr(word)) << mode;
  }
}

TEST(PluginTest, AFileThatIsNoLibraryIsRefusedBeforeItIsOpened) {
  const testing::TemporaryFolder folder;
  WriteFileAtomically(folder / "text.so", "not a library\n");
  EXPECT_EQ(LoadError((folder / "text.so").string()).code(), ErrorCode::kUnavailable);
  EXPECT_EQ(LoadError((folder / "absent.so").string()).code(), ErrorCode::kNotFound);
  EXPECT_EQ(LoadError(folder.path().string()).code(), ErrorCode::kIo);
}

TEST(PluginTest, TwoPluginsMayNotHaveTheSameKernel) {
  (void)Kernel("ref.csr");
  const testing::TemporaryFolder folder;
  std::filesystem::copy_file(PluginFile("good"), folder / "copy.so");
  EXPECT_THAT(LoadError((folder / "copy.so").string()).what(),
              HasSubstr("kernel ref.csr@1.0 is also in"));
}

}  // namespace
}  // namespace dbsp::kernels
