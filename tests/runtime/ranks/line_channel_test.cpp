// SPDX-License-Identifier: Apache-2.0
// Lines between processes: pieces, limits, deadlines and peers that are gone.
#include "runtime/ranks/line_channel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <string>
#include <thread>

namespace dbsp::runtime {
namespace {

using ::testing::HasSubstr;

TEST(LineChannelTest, LinesAreJoinedFromPiecesAndAClosedConnectionIsReported) {
  LinePair pair = MakeLinePair();
  LineChannel reader(std::move(pair.parent));
  const auto put = [&](const std::string& text) {
    ASSERT_EQ(::send(pair.child.get(), text.data(), text.size(), 0),
              static_cast<ssize_t>(text.size()));
  };
  put("one\ntw");
  EXPECT_EQ(reader.Receive(5'000'000'000), "one");
  EXPECT_EQ(reader.Receive(1'000'000), std::nullopt);
  EXPECT_EQ(reader.problem(), "");
  put("o\n\nlast\nrest");
  pair.child.Reset();
  EXPECT_EQ(reader.Receive(5'000'000'000), "two");
  EXPECT_EQ(reader.Receive(5'000'000'000), "");
  EXPECT_EQ(reader.Receive(5'000'000'000), "last");
  EXPECT_EQ(reader.Receive(5'000'000'000), std::nullopt);  // half a line is not returned
  EXPECT_EQ(reader.problem(), "connection closed");
  EXPECT_FALSE(reader.Send("to a closed peer", 1'000'000));
}

TEST(LineChannelTest, APeerThatReadsNothingFailsTheSendAtTheDeadline) {
  LinePair pair = MakeLinePair();
  LineChannel writer(std::move(pair.parent));
  EXPECT_FALSE(writer.Send(std::string(4U << 20U, 'x'), 50'000'000));
  EXPECT_THAT(writer.problem(), HasSubstr("read nothing for 0.05 s"));
}

TEST(LineChannelTest, ALongLineClosesTheChannelAndEarlierLinesRemain) {
  LinePair pair = MakeLinePair();
  LineChannel reader(std::move(pair.parent), 8);
  const std::string text = "12345678\n123456789\nnever\n";
  ASSERT_EQ(::send(pair.child.get(), text.data(), text.size(), 0),
            static_cast<ssize_t>(text.size()));
  EXPECT_EQ(reader.Receive(5'000'000'000), "12345678");
  EXPECT_EQ(reader.Receive(5'000'000'000), std::nullopt);
  EXPECT_EQ(reader.problem(), "sent a line of more than 8 bytes");
}

TEST(LineChannelTest, APeerThatNeverStopsSendingNeitherBlocksNorFillsTheMemory) {
  LinePair pair = MakeLinePair();
  LineChannel reader(std::move(pair.parent), 1000);
  std::thread sender([&] {
    const std::string lines(65536, '\n');
    while (::send(pair.child.get(), lines.data(), lines.size(), MSG_NOSIGNAL) > 0) {
    }
  });
  std::size_t taken = 0;
  while (taken < (1U << 20U)) {
    ASSERT_TRUE(WaitForFile(reader.fd(), WaitTo::kRead, 20'000'000'000));
    reader.Pump();  // returns, although more and more arrives
    std::size_t queued = 0;
    while (reader.Take()) ++queued;
    EXPECT_LE(queued, 1U << 17U);
    taken += queued;
  }
  reader.Close("enough");
  sender.join();
}

TEST(LineChannelTest, APeerThatSendsALittleNowAndThenDoesNotExtendTheDeadline) {
  LinePair pair = MakeLinePair();
  LineChannel reader(std::move(pair.parent));
  std::thread sender([&] {
    while (::send(pair.child.get(), "x", 1, MSG_NOSIGNAL) > 0) {
    }
  });
  EXPECT_EQ(reader.Receive(50'000'000), std::nullopt);
  EXPECT_EQ(reader.problem(), "");
  reader.Close("enough");
  sender.join();
}

TEST(LineChannelTest, APeerThatReadsALittleNowAndThenDoesNotExtendTheDeadline) {
  LinePair pair = MakeLinePair();
  LineChannel writer(std::move(pair.parent));
  std::thread receiver([&] {
    char byte = 0;
    while (::recv(pair.child.get(), &byte, 1, 0) > 0) {
    }
  });
  EXPECT_FALSE(writer.Send(std::string(32U << 20U, 'x'), 50'000'000));
  receiver.join();
}

}  // namespace
}  // namespace dbsp::runtime
