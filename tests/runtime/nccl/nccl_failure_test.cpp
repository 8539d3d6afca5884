// SPDX-License-Identifier: Apache-2.0
// When a rank throws, hangs or fails in NCCL, the other ranks must end soon.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>

#include "build_config.h"
#include "core/error.h"
#include "runtime/clock.h"
#include "tests/core/expect_error.h"
#include "tests/runtime/fake_nccl_ranks.h"
#include "tests/runtime/float_bytes.h"

namespace dbsp::runtime {
namespace {

using dbsp::testing::EnvironmentVariable;
using dbsp::testing::ExpectError;
using dbsp::testing::FakeNcclRanks;
using dbsp::testing::Received;
using dbsp::testing::Sent;

constexpr int kRanks = 8;
constexpr std::int64_t kShort = 300'000'000;
constexpr std::int64_t kLong = 60'000'000'000;

class NcclFailureTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!DBSP_HAVE_NCCL) GTEST_SKIP() << "this build has no NCCL";
  }

  /// Every rank sends one float to every rank.
  static void Exchange(Communicator& comm) {
    const std::vector<std::int64_t> sizes(kRanks, 4);
    const std::vector<std::int64_t> offsets{0, 4, 8, 12, 16, 20, 24, 28};
    // Outside the body, because a failed exchange may use the buffers until the abort has ended it.
    const std::vector<float> send(kRanks, 1.0F);
    std::vector<float> recv(kRanks);
    comm.AllToAllV(Sent(send), sizes, offsets, Received(recv), sizes, offsets);
    comm.Barrier();
  }
};

TEST_F(NcclFailureTest, ARankThatThrowsEndsTheOthersAtOnceWithItsReason) {
  FakeNcclRanks nccl(kRanks, kLong);
  std::atomic<int> ended{0};
  const std::int64_t begin = SteadyNs();
  try {
    nccl.Run([&](NcclCommunicator& comm) {
      try {
        Exchange(comm);
        if (comm.rank() == 3) throw std::runtime_error("out of luck");
        Exchange(comm);
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kMeasurement);
        EXPECT_STREQ(error.what(), "rank 3 aborted: out of luck");
        ++ended;
        throw;
      }
    });
    ADD_FAILURE() << "no error was thrown";
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "out of luck");
  }
  EXPECT_EQ(ended, kRanks - 1);
  EXPECT_LT(SteadyNs() - begin, kLong / 2);  // not by the deadline
  EXPECT_EQ(nccl.CommunicatorsAlive(), 0);
}

TEST_F(NcclFailureTest, ACollectiveThatHangsEndsAtTheDeadlineOnEveryRank) {
  const EnvironmentVariable hang("DBSP_FAKE_NCCL_HANG", "5");
  FakeNcclRanks nccl(kRanks, kShort);
  std::atomic<int> ended{0};
  try {
    nccl.Run([&](NcclCommunicator& comm) {
      try {
        Exchange(comm);
      } catch (const Error&) {
        ++ended;
        throw;
      }
    });
    ADD_FAILURE() << "no error was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(ExitCode(error.code()), 1);
    EXPECT_THAT(error.what(),
                ::testing::HasSubstr("the exchange of AllToAllV took more than 0.3 s"));
  }
  EXPECT_EQ(ended, kRanks);
  EXPECT_EQ(nccl.CommunicatorsAlive(), 0);
}

TEST_F(NcclFailureTest, CountsThatDifferEndAtTheDeadline) {
  FakeNcclRanks nccl(2, kShort);
  ExpectError(ErrorCode::kMeasurement, {"a rank is gone, or the counts of two ranks differ"}, [&] {
    const std::vector<float> a(2);
    std::vector<float> b(4);
    nccl.Run([&](NcclCommunicator& comm) {
      const int other = 1 - comm.rank();
      const std::size_t bytes = comm.rank() == 0 ? 4 : 8;
      comm.StartSendRecv(
          Sent(a).first(4), other, Received(b).subspan(comm.rank() == 0 ? 0 : 8, bytes), other);
      comm.WaitSendRecv();
    });
  });
}

TEST_F(NcclFailureTest, NcclsErrorsAreReportedAndEndTheOthers) {
  for (const auto& [variable, words] :
       {std::pair{"DBSP_FAKE_NCCL_ERROR", "ncclGroupEnd: the fake NCCL has a system error"},
        std::pair{"DBSP_FAKE_NCCL_ASYNC", "the fake NCCL lost a peer"}}) {
    const EnvironmentVariable fault(variable, "2");
    FakeNcclRanks nccl(kRanks, kLong);
    ExpectError(ErrorCode::kMeasurement, {"rank 2: NCCL: ", words}, [&] { nccl.Run(Exchange); });
    EXPECT_EQ(nccl.CommunicatorsAlive(), 0);
  }
}

TEST_F(NcclFailureTest, ARankThatDoesNotJoinIsAnErrorAtTheDeadline) {
  FakeNcclRanks nccl(2, kShort);
  const NcclId id = NcclCommunicator::MakeId(nccl.options().library);
  ExpectError(ErrorCode::kMeasurement, {"rank 0: ncclCommInitRankConfig took more than"}, [&] {
    (void)NcclCommunicator::Join(id, 0, 2, nccl.Queue(0), nccl.options());
  });
  EXPECT_EQ(nccl.CommunicatorsAlive(), 0);
}

TEST_F(NcclFailureTest, AfterAnAbortEveryCallThrows) {
  FakeNcclRanks nccl(1, kLong);
  const NcclId id = NcclCommunicator::MakeId(nccl.options().library);
  const auto comm = NcclCommunicator::Join(id, 0, 1, nccl.Queue(0), nccl.options());
  comm->Barrier();
  comm->Abort("the test is over");
  for (int i = 0; i < 2; ++i) {
    ExpectError(
        ErrorCode::kMeasurement, {"rank 0 aborted: the test is over"}, [&] { comm->Barrier(); });
  }
  EXPECT_EQ(nccl.CommunicatorsAlive(), 0);
}

TEST_F(NcclFailureTest, OneHopAtATime) {
  FakeNcclRanks nccl(1, kLong);
  nccl.Run([](NcclCommunicator& comm) {
    const std::vector<float> send{4};
    std::vector<float> recv{0};
    comm.StartSendRecv(Sent(send), 0, Received(recv), 0);
    ExpectError(ErrorCode::kInternal, {"already in flight"}, [&] {
      comm.StartSendRecv(Sent(send), 0, Received(recv), 0);
    });
    comm.WaitSendRecv();
    EXPECT_EQ(recv, send);
    ExpectError(ErrorCode::kInternal, {"no StartSendRecv"}, [&] { comm.WaitSendRecv(); });
  });
}

TEST_F(NcclFailureTest, AbsenceIsUnavailable) {
  ExpectError(ErrorCode::kUnavailable, {"NCCL: unavailable: libnowhere.so.9 not found"}, [] {
    (void)NcclCommunicator::MakeId("libnowhere.so.9");
  });
  NcclOptions old;
  old.library = dbsp::testing::OldFakeLibrary("libnccl.so.2");
  ExpectError(
      ErrorCode::kUnavailable, {"ncclGetErrorString"}, [&] { RunNcclRanks(2, old, {}, {}); });
}

}  // namespace
}  // namespace dbsp::runtime
