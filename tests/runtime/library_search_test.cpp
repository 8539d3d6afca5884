// SPDX-License-Identifier: Apache-2.0
// The search for vendor libraries, with real shared objects in folders of CUDA and Python.
#include "runtime/library_search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "build_config.h"
#include "core/error.h"
#include "runtime/cupti/cupti_library.h"
#include "runtime/dynamic_library.h"
#include "runtime/nccl/nccl_library.h"
#include "runtime/nvml/nvml_library.h"
#include "tests/core/temporary_folder.h"
#include "tests/runtime/fake_vendor.h"

namespace dbsp::runtime {
namespace {

namespace fs = std::filesystem;
using dbsp::testing::EnvironmentVariable;
using dbsp::testing::FakeLibrary;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// The message of the Error{kUnavailable} of a search.
std::string MessageOf(const std::string& name) {
  try {
    (void)DynamicLibrary::Search(name, "X: unavailable", "install X");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnavailable);
    return error.what();
  }
  return "no error";
}

/// No CUDA toolkit, no folder of the user and a python3 that prints the line `module_path`.
class LibrarySearchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(bin_);
    SetPython("echo \"" + site_.string() + "\"");
  }

  /// Makes PATH a folder with one python3, a script of `commands` that also leaves a file "asked".
  void SetPython(const std::string& commands) {
    const fs::path file = bin_ / "python3";
    std::ofstream(file) << "#!/bin/sh\n: > " << (folder_ / "asked").string() << "\n"
                        << commands << "\n";
    fs::permissions(file, fs::perms::owner_all);
  }
  [[nodiscard]] bool PythonWasAsked() const { return fs::exists(folder_ / "asked"); }

  /// Copies a fake library into `folder` under the name `as`.
  static std::string Install(const std::string& library,
                             const fs::path& folder,
                             const std::string& as) {
    fs::create_directories(folder);
    const fs::path to = folder / as;
    fs::copy_file(FakeLibrary(library), to);
    return to.string();
  }
  static std::string Search(const std::string& name) {
    return DynamicLibrary::Search(name, "X: unavailable", "install X").name();
  }

  const dbsp::testing::TemporaryFolder folder_;
  const fs::path bin_ = folder_ / "bin";
  const fs::path site_ = folder_ / "lib/python3.12/site-packages";
  const EnvironmentVariable path_{"PATH", bin_.string()};
  const EnvironmentVariable cuda_{"CUDA_HOME", (folder_ / "cuda").string()};
  const EnvironmentVariable cuda_path_{"CUDA_PATH", ""};
  const EnvironmentVariable user_{"DBSP_LIBRARY_PATH", ""};
};

TEST_F(LibrarySearchTest, PythonIsNotAskedWhenTheLoaderFindsTheLibrary) {
  EXPECT_EQ(Search("libm.so.6"), "libm.so.6");
  EXPECT_FALSE(PythonWasAsked());
}

TEST_F(LibrarySearchTest, ALibraryOfAWheelIsFoundInEveryNvidiaPackage) {
  // The layouts of nvidia-nccl-cu13 and of the packages of CUDA 13.
  const std::string nccl = Install("libnccl.so.2", site_ / "nvidia/nccl/lib", "libdbspnccl.so.2");
  const std::string nvrtc = Install("libnccl.so.2", site_ / "nvidia/cu13/lib", "libdbspnvrtc.so");
  EXPECT_EQ(Search("libdbspnccl.so.2"), nccl);
  EXPECT_EQ(Search("libdbspnvrtc.so"), nvrtc);
  EXPECT_TRUE(PythonWasAsked());
}

TEST_F(LibrarySearchTest, EveryVendorLibraryIsSearchedTheSameWay) {
  if (!DBSP_HAVE_NCCL) GTEST_SKIP() << "this build has no NCCL";
  if (!DBSP_HAVE_CUPTI) GTEST_SKIP() << "this build has no CUPTI";
  if (!DBSP_HAVE_NVML) GTEST_SKIP() << "this build has no NVML";
  Install("libnccl.so.2", site_ / "nvidia/nccl/lib", "libdbsp1.so");
  Install("libcupti.so.13", site_ / "nvidia/cu13/lib", "libdbsp2.so");
  Install("libnvidia-ml.so.1", site_ / "nvidia/ml/lib", "libdbsp3.so");
  EXPECT_EQ(NcclLibrary::Load("libdbsp1.so").version(), "2.23.7");
  EXPECT_EQ(CuptiLibrary::Load("libdbsp2.so").version(), "13.1.2");
  EXPECT_EQ(NvmlLibrary::Load("libdbsp3.so").driver_version(), "580.12.34");
}

TEST_F(LibrarySearchTest, TheUsersFoldersPrecedeCudasAndThesePrecedePythons) {
  Install("libnccl.so.2", site_ / "nvidia/nccl/lib", "libdbsporder.so");
  const std::string cuda = Install("libnccl.so.2", folder_ / "cuda/lib64", "libdbsporder.so");
  EXPECT_EQ(Search("libdbsporder.so"), cuda);
  EXPECT_FALSE(PythonWasAsked());
  const std::string second = Install("libnccl.so.2", folder_ / "two", "libdbsporder.so");
  const EnvironmentVariable user("DBSP_LIBRARY_PATH",
                                 (folder_ / "one").string() + ":" + (folder_ / "two").string());
  EXPECT_EQ(Search("libdbsporder.so"), second);
}

TEST_F(LibrarySearchTest, CuptisOwnFolderOfTheToolkitIsSearched) {
  const std::string cupti =
      Install("libnccl.so.2", folder_ / "cuda/extras/CUPTI/lib64", "libdbspextras.so");
  EXPECT_EQ(Search("libdbspextras.so"), cupti);
}

TEST_F(LibrarySearchTest, AFileThatIsNoLibraryDoesNotEndTheSearch) {
  fs::create_directories(folder_ / "one");
  std::ofstream(folder_ / "one/libdbspbad.so") << "text";
  const EnvironmentVariable user("DBSP_LIBRARY_PATH", (folder_ / "one").string());
  const std::string message = MessageOf("libdbspbad.so");
  EXPECT_THAT(message, HasSubstr("libdbspbad.so cannot be loaded: "));
  EXPECT_THAT(message, HasSubstr((folder_ / "one/libdbspbad.so").string()));
  const std::string good = Install("libnccl.so.2", site_ / "nvidia/x/lib", "libdbspbad.so");
  // The folders of one PATH are found once; the same folder by another PATH is searched again.
  const EnvironmentVariable path("PATH", bin_.string() + ":/nowhere");
  EXPECT_EQ(Search("libdbspbad.so"), good);
}

TEST_F(LibrarySearchTest, AMissingLibraryIsReportedInOneLineWithEveryPlace) {
  fs::create_directories(site_ / "nvidia/cublas/lib");
  const EnvironmentVariable user("DBSP_LIBRARY_PATH", "/first:/second");
  const std::string message = MessageOf("libnowhere.so.9");
  const std::string cuda = (folder_ / "cuda").string();
  EXPECT_EQ(message,
            "X: unavailable: libnowhere.so.9 not found (looked in the loader's path, "
            "DBSP_LIBRARY_PATH (/first:/second), CUDA's folders (" +
                cuda + "/lib64, " + cuda + "/lib, " + cuda +
                "/extras/CUPTI/lib64), python3's packages (nvidia/*/lib of " + site_.string() +
                ")); install X");
}

TEST_F(LibrarySearchTest, ANameWithAFolderIsOpenedFromThereOnly) {
  const std::string message = MessageOf("/nowhere/libx.so");
  EXPECT_EQ(message, "X: unavailable: /nowhere/libx.so not found; install X");
  EXPECT_FALSE(PythonWasAsked());
}

TEST_F(LibrarySearchTest, WithoutPythonTheOtherPlacesAreSearched) {
  const EnvironmentVariable path("PATH", (folder_ / "empty").string());
  EXPECT_THAT(PythonLibraryPlace().folders, ElementsAre());
  EXPECT_THAT(PythonLibraryPlace().description, HasSubstr("python3 on PATH was not found"));
}

TEST_F(LibrarySearchTest, APythonThatFailsIsNamed) {
  SetPython("echo /usr/lib; exit 3");
  EXPECT_THAT(PythonLibraryPlace().folders, ElementsAre());
  EXPECT_THAT(PythonLibraryPlace().description, HasSubstr("python3 on PATH failed"));
}

TEST_F(LibrarySearchTest, APythonThatDoesNotAnswerIsEnded) {
  SetPython("/bin/sleep 600 & wait");
  EXPECT_THAT(PythonLibraryPlace().description, HasSubstr("did not answer within 5 s"));
}

TEST_F(LibrarySearchTest, PythonIsAskedOnce) {
  (void)PythonLibraryPlace();
  ASSERT_TRUE(PythonWasAsked());
  fs::remove(folder_ / "asked");
  (void)PythonLibraryPlace();
  EXPECT_FALSE(PythonWasAsked());
}

TEST_F(LibrarySearchTest, WithoutVariablesTheUsualFolderOfCudaIsSearched) {
  const EnvironmentVariable cuda("CUDA_HOME", "");
  EXPECT_THAT(
      CudaLibraryPlace().folders,
      ElementsAre(
          "/usr/local/cuda/lib64", "/usr/local/cuda/lib", "/usr/local/cuda/extras/CUPTI/lib64"));
}

/// A real virtual environment whose folder bin is first on PATH.
TEST(LibrarySearchVenvTest, LibrariesOfAnActiveVirtualEnvironmentAreFound) {
  const dbsp::testing::TemporaryFolder folder;
  const std::string venv = (folder / "venv").string();
  if (std::system(("python3 -m venv --without-pip " + venv + " 2>/dev/null").c_str()) != 0) {
    GTEST_SKIP() << "no python3 that makes virtual environments";
  }
  fs::path site;
  for (const auto& entry : fs::directory_iterator(venv + "/lib")) {
    if (fs::exists(entry.path() / "site-packages")) site = entry.path() / "site-packages";
  }
  ASSERT_FALSE(site.empty());
  fs::create_directories(site / "nvidia/nccl/lib");
  const fs::path file = site / "nvidia/nccl/lib/libdbspvenv.so";
  fs::copy_file(FakeLibrary("libnccl.so.2"), file);
  const EnvironmentVariable path("PATH", venv + "/bin:" + std::getenv("PATH"));
  EXPECT_EQ(DynamicLibrary::Search("libdbspvenv.so", "X", "y").name(), file.string());
}

}  // namespace
}  // namespace dbsp::runtime
