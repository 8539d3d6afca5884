// SPDX-License-Identifier: Apache-2.0
// Programs without the token that reach rank 0's port while ranks join. Each costs its own
// connection and gets no byte; the ranks join all the same
// (docs/design/0022-rendezvous-threats.md).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <random>
#include <set>
#include <thread>

#include "runtime/ranks/pending_ranks.h"
#include "runtime/ranks/proof.h"
#include "runtime/ranks/rank_handshake.h"
#include "tests/core/expect_error.h"
#include "tests/runtime/background_process.h"
#include "tests/runtime/ranks/forked_ranks.h"

namespace dbsp::runtime {
namespace {

using testing::Eventually;
using testing::ExpectError;
using testing::ForkedRanks;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::int64_t kLongNs = 20'000'000'000;
constexpr int kRanks = 3;

/// A connection without any rules.
class Stranger {
 public:
  explicit Stranger(int port) {
    std::string problem;
    if (auto socket = Connect("127.0.0.1", port, kLongNs, problem)) socket_ = std::move(*socket);
  }
  [[nodiscard]] bool connected() const { return static_cast<bool>(socket_); }
  /// Sends until the peer reads no more or is gone.
  void Send(std::string_view text) {
    while (socket_ && !text.empty()) {
      const ssize_t count = ::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL);
      if (count <= 0) return;
      text.remove_prefix(static_cast<std::size_t>(count));
    }
  }
  void EndOfInput() { ::shutdown(socket_.get(), SHUT_WR); }
  void Close() { socket_.Reset(); }
  void Reset() {
    const linger now{1, 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    socket_.Reset();
  }
  /// Everything that rank 0 sent until it closed the connection.
  std::string ReadToEnd() {
    std::string text;
    char buffer[4096];
    while (socket_ && WaitForFile(socket_.get(), WaitTo::kRead, kLongNs)) {
      const ssize_t count = ::recv(socket_.get(), buffer, sizeof(buffer), 0);
      if (count < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      if (count <= 0) return text;
      text.append(buffer, static_cast<std::size_t>(count));
    }
    return socket_ ? text + "(open)" : text;
  }

 private:
  FileDescriptor socket_;
};

/// Ranks that join while `attack` runs in another thread, and everything strangers received.
class Attacked {
 public:
  /// attack  has begun when it calls ranks.OpenGate()
  void Run(const std::function<void(ForkedRanks& ranks, std::vector<Stranger>& kept)>& attack) {
    ForkedRanks ranks(kRanks);
    for (int r = 1; r < kRanks; ++r) {
      ranks.Fork(
          ranks.Options(r),
          [](ProcessGroup& group) {
            group.Send(0, {{"from", group.rank()}});
            (void)group.Receive(0, kLongNs, "the end");
          },
          ForkedRanks::When::kAfterGate);
    }
    std::string received;
    std::thread strangers([&] {
      std::vector<Stranger> kept;
      attack(ranks, kept);
      for (Stranger& stranger : kept) received += stranger.ReadToEnd();
    });
    try {
      GroupOptions zero = ranks.Zero();
      zero.deadline_ns = 10 * kLongNs;
      const auto group = ProcessGroup::Join(std::move(zero));
      for (int r = 1; r < kRanks; ++r) {
        EXPECT_EQ(group->Receive(r, kLongNs, "its number")["from"], r);
      }
      for (int r = 1; r < kRanks; ++r) group->Send(r, {{"end", true}});
    } catch (const Error& error) {
      ADD_FAILURE() << error.what();
    }
    strangers.join();
    EXPECT_EQ(received, "");
  }
};

struct Attack {
  const char* name;
  std::function<void(Stranger&)> run;
};
void PrintTo(const Attack& attack, std::ostream* out) { *out << attack.name; }

std::string HelloOf(const ForkedRanks& ranks) {
  return HelloLine(ranks.Options(1).token, RandomHex());
}

const std::string kOldHello =
    R"({"protocol":"dbsp.ranks/1","rank":1,"size":3,"host":"h","host_id":"i","pid":1,)"
    R"("build":"dbsp test","token":)";

Attack Sends(const char* name, std::string text) {
  return {name, [text = std::move(text)](Stranger& stranger) { stranger.Send(text); }};
}

std::vector<Attack> Attacks() {
  const std::string nonce(kNonceCharacters, 'a');
  const std::string proof(kProofCharacters, 'b');
  const std::string begin = std::string(kRanksProtocol) + " ";
  return {
      Sends("Nothing", ""),
      Sends("EmptyLine", "\n"),
      Sends("EmptyLines", std::string(1U << 20U, '\n')),
      Sends("Http", "GET / HTTP/1.1\r\nHost: gpu1\r\n\r\n"),
      Sends("Tls", std::string("\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", 11)),
      Sends("Zeros", std::string(4096, '\0') + "\n"),
      Sends("HighBytes", std::string(100, '\xff') + "\n"),
      Sends("Brackets", std::string(100'000, '[') + "\n"),
      Sends("BracketsWithoutEnd", std::string(100'000, '[')),
      Sends("NumberOutOfRange", "{\"protocol\":1e400}\n"),
      Sends("WrongTypes", "{\"protocol\":[],\"rank\":\"one\",\"token\":{}}\n"),
      Sends("EmptyToken", kOldHello + "\"\"}\n"),
      Sends("NullToken", kOldHello + "null}\n"),
      Sends("HugeLine", std::string(4U << 20U, 'x')),
      Sends("HugeHello", begin + std::string(4U << 20U, 'a') + "\n"),
      Sends("HelloWithWrongProof", begin + nonce + " " + proof + "\n"),
      Sends("HelloWithoutProof", begin + nonce + "\n"),
      Sends("HelloWithEmptyToken", HelloLine("", nonce) + "\n"),
      Sends("HelloWithJobAsToken", HelloLine("Slurm job 77.0", nonce) + "\n"),
      Sends("HelloWithProofOfNothing", begin + nonce + " " + Proof("", {}) + "\n"),
      Sends("HelloInCapitals", begin + std::string(32, 'A') + " " + std::string(64, 'B') + "\n"),
      Sends("HalfALine", begin + "0123"),
      Sends("AnswerOfRankZero", nonce + " " + proof + "\n"),
      Sends("FactsWithoutHello", proof + " {\"rank\":1}\n"),
      {"HalfALineAndEnd",
       [begin](Stranger& stranger) {
         stranger.Send(begin);
         stranger.EndOfInput();
       }},
      {"EndAtOnce", [](Stranger& stranger) { stranger.EndOfInput(); }},
      {"CloseAtOnce", [](Stranger& stranger) { stranger.Close(); }},
      {"ResetAtOnce", [](Stranger& stranger) { stranger.Reset(); }},
      {"ResetInALine",
       [](Stranger& stranger) {
         stranger.Send("dbsp.ra");
         stranger.Reset();
       }},
      {"Slowly",
       [begin](Stranger& stranger) {
         for (const char& byte : begin) {
           stranger.Send({&byte, 1});
           std::this_thread::sleep_for(std::chrono::milliseconds(5));
         }
       }},
  };
}

class StrangerTest : public ::testing::TestWithParam<Attack> {};

TEST_P(StrangerTest, CostsItsOwnConnectionAndGetsNoByte) {
  Attacked().Run([](ForkedRanks& ranks, std::vector<Stranger>& kept) {
    for (int i = 0; i < 8; ++i) {
      kept.emplace_back(ranks.port());
      // When the ranks have joined, nothing listens any more.
      if (!kept.back().connected()) break;
      GetParam().run(kept.back());
      if (i == 4) ranks.OpenGate();
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Every,
                         StrangerTest,
                         ::testing::ValuesIn(Attacks()),
                         [](const auto& attack) { return attack.param.name; });

TEST(StrangersTest, AllAttacksAtOnceDoNotDisturb) {
  Attacked().Run([](ForkedRanks& ranks, std::vector<Stranger>& kept) {
    for (const Attack& attack : Attacks()) {
      kept.emplace_back(ranks.port());
      attack.run(kept.back());
    }
    ranks.OpenGate();
  });
}

TEST(StrangersTest, MoreConnectionsThanAllowedDoNotKeepRanksOut) {
  Attacked().Run([](ForkedRanks& ranks, std::vector<Stranger>& kept) {
    for (int i = 0; i < 400; ++i) {
      kept.emplace_back(ranks.port());
      if (i % 2 == 0) kept.back().Send("dbsp");
      if (i == 200) ranks.OpenGate();
    }
  });
}

/// Bytes of a stranger: noise, or a right hello with changed, lost or added bytes.
std::string Noise(std::mt19937& random, const std::string& hello) {
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  std::string text = hello;
  switch (below(5)) {
    case 0:
      text.resize(below(300));
      for (char& c : text) c = static_cast<char>(random());
      return text;
    case 1:
      text[below(text.size())] ^= static_cast<char>(1 + below(255));
      return text + "\n";
    case 2:
      text.erase(below(text.size()), 1 + below(3));
      return text + "\n";
    case 3:
      text.insert(below(text.size()), 1, static_cast<char>(random()));
      return text + "\n";
    default:
      return text.substr(0, below(text.size())) + "\n";
  }
}

TEST(StrangersTest, ThousandsOfRandomConnectionsGetNoByte) {
  Attacked().Run([](ForkedRanks& ranks, std::vector<Stranger>& kept) {
    std::mt19937 random(20261130);
    const std::string hello = HelloOf(ranks);
    std::string received;
    for (int i = 0; i < 4000; ++i) {
      Stranger stranger(ranks.port());
      // A changed hello may by chance be the hello again.
      std::string text = Noise(random, hello);
      if (text == hello + "\n") text = "\n";
      stranger.Send(text);
      switch (random() % 4) {
        case 0:
          stranger.Reset();
          break;
        case 1:
          stranger.EndOfInput();
          kept.push_back(std::move(stranger));
          break;
        case 2:
          stranger.Close();
          break;
        default:
          kept.push_back(std::move(stranger));
      }
      if (kept.size() > 400) {
        received += kept.front().ReadToEnd();
        kept.erase(kept.begin());
      }
      if (i == 3000) ranks.OpenGate();
      // When the ranks have joined, nothing listens any more.
      if (i % 100 == 0 && !Stranger(ranks.port()).connected()) break;
    }
    ranks.OpenGate();
    EXPECT_EQ(received, "");
  });
}

TEST(StrangersTest, ARecordedHelloIsAnsweredOnceAndJoinsNothing) {
  ForkedRanks ranks(2);
  GroupOptions zero = ranks.Zero();
  PendingRanks pending(std::move(zero.listener), zero.token, 2);
  const std::string hello = HelloOf(ranks);
  // The rank itself, and two strangers that repeat what they have seen of it.
  std::vector<std::string> received;
  for (int i = 0; i < 3; ++i) {
    Stranger stranger(ranks.port());
    stranger.Send(hello + "\n");
    stranger.Send(std::string(kProofCharacters, 'a') + " {\"rank\":1}\n");
    EXPECT_TRUE(Eventually([&] {
      EXPECT_TRUE(pending.Advance().empty());
      return pending.dropped() == i + 1;
    }));
    received.push_back(stranger.ReadToEnd());
  }
  EXPECT_EQ(received[0].size(), kNonceCharacters + 1 + kProofCharacters + 1);
  EXPECT_EQ(received[1] + received[2], "");
}

TEST(StrangersTest, TheTableIsLimitedAndASlowHelloIsClosed) {
  ForkedRanks ranks(2);
  GroupOptions zero = ranks.Zero();
  PendingRanks pending(std::move(zero.listener), zero.token, 2);
  std::vector<Stranger> silent;
  for (int i = 0; i < 100; ++i) {
    silent.emplace_back(ranks.port());
    (void)pending.Advance();
    EXPECT_LE(pending.size(), 2U + 16U);
  }
  EXPECT_TRUE(Eventually([&] {
    if (silent.back().connected()) silent.back().Send("d");
    return pending.Advance().empty() && pending.size() == 0;
  }));
  EXPECT_EQ(pending.dropped(), 100);
}

TEST(StrangersTest, ALackOfFileDescriptorsCostsTheStrangersTheirs) {
  ForkedRanks ranks(kRanks);
  std::vector<pid_t> pids;
  // Rank 0 may open few more files than it needs.
  const auto open = std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  pids.push_back(0);
  for (int r = 1; r < kRanks; ++r) {
    pids.push_back(ranks.Fork(
        ranks.Options(r),
        [](ProcessGroup& group) { (void)group.Receive(0, kLongNs, "the end"); },
        ForkedRanks::When::kAfterGate));
  }
  GroupOptions zero = ranks.Zero();
  const int port = ranks.port();
  zero.listening = [&](const std::string&) {
    const rlimit few{static_cast<rlim_t>(open) + 4, before.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  };
  pids[0] = ranks.Fork(std::move(zero), [](ProcessGroup& group) {
    for (int r = 1; r < kRanks; ++r) group.Send(r, {{"end", true}});
  });
  std::vector<Stranger> silent;
  for (int i = 0; i < 30; ++i) {
    silent.emplace_back(port);
    EXPECT_TRUE(silent.back().connected());
  }
  ranks.OpenGate();
  for (const pid_t pid : pids) EXPECT_EQ(ranks.Code(pid), 0);
  std::string received;
  for (Stranger& stranger : silent) received += stranger.ReadToEnd();
  EXPECT_EQ(received, "");
}

TEST(StrangersTest, AProgramAtRankZerosAddressIsSkippedAndLearnsNoFact) {
  ForkedRanks ranks(2);
  // The stranger took the address first, and answers every hello.
  Listener impostor = Listener::Open("127.0.0.1", 0, true);
  GroupOptions rank = ranks.Options(1);
  rank.rendezvous.port = impostor.port();
  rank.deadline_ns = 300'000'000;
  std::string problem;
  std::string heard;  // the last hello and what followed it
  std::thread thread([&] {
    try {
      (void)ProcessGroup::Join(std::move(rank));
    } catch (const Error& error) {
      problem = error.what();
    }
  });
  ASSERT_TRUE(Eventually([&] {
    Listener::Connection connection;
    if (impostor.Accept(connection) != Listener::Outcome::kConnection) return false;
    LineChannel channel(std::move(connection.socket));
    heard = channel.Receive(kLongNs).value_or("");
    EXPECT_TRUE(channel.Send("{\"refused\":\"the stranger\"}", kLongNs));
    heard += channel.Receive(kLongNs).value_or("");
    return true;
  }));
  impostor = {};
  thread.join();
  EXPECT_THAT(problem, HasSubstr("rank 0 was not found within"));
  EXPECT_THAT(problem, Not(HasSubstr("the stranger")));
  EXPECT_TRUE(NonceOfHello(ranks.Options(1).token, heard)) << heard;  // and nothing else
}

/// A program that knows the token and sends `facts`.
std::string RefusalOf(int port, const std::string& token, const std::string& facts) {
  std::string problem;
  auto socket = Connect("127.0.0.1", port, kLongNs, problem);
  if (!socket) return problem;
  LineChannel channel(std::move(*socket));
  Nonces nonces{RandomHex(), ""};
  (void)channel.Send(HelloLine(token, nonces.rank), kLongNs);
  nonces.zero =
      NonceOfAnswer(token, nonces.rank, channel.Receive(kLongNs).value_or("")).value_or("");
  (void)channel.Send(FactsLine(token, nonces, facts), kLongNs);
  return channel.Receive(kLongNs).value_or(channel.problem());
}

TEST(StrangersTest, WrongFactsOfAProgramWithTheTokenEndTheRunAndAreNamed) {
  const std::string who = R"("host":"h","host_id":"i","pid":1,"build":"dbsp test","size":2)";
  const std::vector<std::pair<std::string, std::string>> cases{
      {"{\"rank\":0," + who + "}", "rank 0 (h, pid 1): two processes have the same rank"},
      {"{\"rank\":2," + who + "}", "rank 2 (h, pid 1) is not one of 2 ranks"},
      {"{\"rank\":-1," + who + "}", "key 'rank': expected"},
      {"{\"rank\":1e400," + who + "}", "a rank at 127.0.0.1 sent a message"},
      {"{\"rank\":\"1\"," + who + "}", "key 'rank': expected"},
      {"{\"rank\":99999999999," + who + "}", "key 'rank': expected"},
      {std::string(3000, '['), "a rank at 127.0.0.1 sent a message"},
      {"", "a rank at 127.0.0.1 sent a message"},
      {"[]", "a rank at 127.0.0.1 sent a message"},
  };
  for (const auto& [facts, words] : cases) {
    SCOPED_TRACE(facts.substr(0, 80));
    ForkedRanks ranks(2);
    std::string refusal;
    std::thread sender(
        [&, text = facts] { refusal = RefusalOf(ranks.port(), ranks.Options(1).token, text); });
    ExpectError(ErrorCode::kMismatch, {words}, [&] { (void)ProcessGroup::Join(ranks.Zero()); });
    sender.join();
    EXPECT_THAT(refusal, HasSubstr("refused"));
  }
}

}  // namespace
}  // namespace dbsp::runtime
