// SPDX-License-Identifier: Apache-2.0
// Where rank 0 listens, the rendezvous file, and the token of a run.
#include "runtime/ranks/rendezvous.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>

#include "runtime/host.h"
#include "runtime/ranks/listener.h"
#include "runtime/ranks/proof.h"
#include "runtime/ranks/rank_handshake.h"
#include "runtime/ranks/run_token.h"
#include "tests/core/expect_error.h"
#include "tests/core/temporary_folder.h"

namespace dbsp::runtime {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using testing::ExpectError;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using testing::TemporaryFolder;

TEST(RendezvousTest, TextsAreParsed) {
  EXPECT_EQ(ParseRendezvous("gpu1:2950").host, "gpu1");
  EXPECT_EQ(ParseRendezvous("gpu1:2950").port, 2950);
  EXPECT_EQ(ParseRendezvous("[fe80::1]:80").host, "fe80::1");
  EXPECT_EQ(ParseRendezvous("file:/a/b").path, "/a/b");
  for (const char* text : {"gpu1:2950", "[fe80::1]:80"}) {
    EXPECT_EQ(Describe(ParseRendezvous(text)), text);
  }
  for (const char* wrong :
       {"", "gpu1", "gpu1:", ":80", "gpu1:0", "gpu1:70000", "gpu1:8x", "file:"}) {
    ExpectError(ErrorCode::kInvalidArgument, {"--rendezvous", "file:PATH"}, [&] {
      (void)ParseRendezvous(wrong);
    });
  }
}

std::optional<RankZero> Read(const std::string& path) {
  std::string problem;
  auto zero = ReadRankZero(path, problem);
  EXPECT_EQ(zero.has_value(), problem.empty()) << problem;
  return zero;
}

std::string ProblemOf(const std::string& path) {
  std::string problem;
  EXPECT_FALSE(ReadRankZero(path, problem));
  return problem;
}

TEST(RendezvousFileTest, IsCompleteOrAbsentAndReadableByItsOwnerOnly) {
  const TemporaryFolder folder;
  const std::string path = (folder / "rendezvous").string();
  EXPECT_THAT(ProblemOf(path), HasSubstr("rank 0 has not written the file"));
  const mode_t before = ::umask(0);
  std::optional<RendezvousFile> file;
  file.emplace(path, RankZero{{"a", "::1"}, 99, "token"});
  ::umask(before);
  struct stat facts {};
  ASSERT_EQ(::stat(path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777U, 0600U);
  const auto zero = Read(path);
  ASSERT_TRUE(zero);
  EXPECT_THAT(zero->hosts, ElementsAre("a", "::1"));
  EXPECT_EQ(zero->port, 99);
  EXPECT_EQ(zero->token, "token");
  file.reset();
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));  // no temporary file is left
}

TEST(RendezvousFileTest, OfAnotherRunIsNotRemoved) {
  const TemporaryFolder folder;
  const std::string path = (folder / "rendezvous").string();
  std::optional<RendezvousFile> first;
  first.emplace(path, RankZero{{"a"}, 1, "first"});
  const RendezvousFile second(path, RankZero{{"b"}, 2, "second"});
  first.reset();
  EXPECT_EQ(Read(path)->token, "second");
}

TEST(RendezvousFileTest, ReplacesALinkAndAFileOfOthersAndKeepsWhatTheLinkNames) {
  const TemporaryFolder folder;
  const std::string path = (folder / "rendezvous").string();
  const std::string target = (folder / "target").string();
  std::ofstream(target) << "kept";
  std::filesystem::create_symlink(target, path);
  const RendezvousFile file(path, RankZero{{"a"}, 1, "token"});
  EXPECT_FALSE(std::filesystem::is_symlink(path));
  std::string text;
  std::ifstream(target) >> text;
  EXPECT_EQ(text, "kept");
  EXPECT_EQ(Read(path)->token, "token");
}

TEST(RendezvousFileTest, AFileThatOthersMayHaveWrittenIsNotTrusted) {
  const TemporaryFolder folder;
  const std::string path = (folder / "rendezvous").string();
  const RendezvousFile file(path, RankZero{{"a"}, 1, "token"});
  for (const mode_t mode : {0604, 0640, 0602}) {
    ASSERT_EQ(::chmod(path.c_str(), mode), 0);
    EXPECT_THAT(ProblemOf(path), HasSubstr("other users have rights to it"));
  }
  ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
  EXPECT_TRUE(Read(path));
  const std::string link = (folder / "link").string();
  std::filesystem::create_symlink(path, link);
  EXPECT_NE(ProblemOf(link), "");
  const std::string fifo = (folder / "fifo").string();
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_THAT(ProblemOf(fifo), HasSubstr("not a regular file"));
  if (::geteuid() != 0) return;  // only root can give a file away
  ASSERT_EQ(::chown(path.c_str(), 12345, 12345), 0);
  ASSERT_EQ(::chmod(folder.path().c_str(), 01777), 0);
  EXPECT_THAT(ProblemOf(path), HasSubstr("belongs to user 12345"));
  // A network file system may report one owner for all files. A file of another owner is then
  // accepted if its folder has the same owner and no other user can write in it.
  ASSERT_EQ(::chown(folder.path().c_str(), 12345, 12345), 0);
  ASSERT_EQ(::chmod(folder.path().c_str(), 0755), 0);
  EXPECT_TRUE(Read(path));
}

TEST(RendezvousFileTest, HostileContentsAreAProblemAndNoCrash) {
  const TemporaryFolder folder;
  const std::string path = (folder / "rendezvous").string();
  for (const std::string& text :
       {std::string("{\"schema\":"),
        std::string(60000, '['),
        std::string(100000, ' '),
        std::string("{\"schema\":1e400}"),
        std::string(R"({"schema":"dbsp.rendezvous/1","hosts":["a"],"port":0,"token":"t"})"),
        std::string(R"({"schema":"dbsp.rendezvous/1","hosts":"a","port":1,"token":"t"})"),
        std::string(R"({"schema":"dbsp.rendezvous/1","hosts":["a"],"port":1,"token":[]})")}) {
    std::ofstream(path) << text;
    ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
    EXPECT_NE(ProblemOf(path), "") << text.substr(0, 80);
  }
}

bool Answers(const std::string& host, int port) {
  std::string problem;
  return Connect(host, port, 5'000'000'000, problem).has_value();
}

TEST(ListenerTest, OnlyTheNamedAddressIsBound) {
  const Listener listener = Listener::Open("127.0.0.1", 0, false);
  EXPECT_THAT(listener.addresses(), ElementsAre("127.0.0.1"));
  EXPECT_GT(listener.port(), 0);
  EXPECT_EQ(listener.Describe(), "127.0.0.1, port " + std::to_string(listener.port()));
  EXPECT_TRUE(Answers("127.0.0.1", listener.port()));
  EXPECT_FALSE(Answers("127.0.0.2", listener.port()));
  const auto network = NetworkAddress();
  EXPECT_FALSE(network && Answers(*network, listener.port()));
}

TEST(ListenerTest, ANameBindsItsAddressesOnOnePort) {
  const Listener local = Listener::Open("localhost", 0, false);
  EXPECT_THAT(local.addresses(),
              Each(::testing::AnyOf(StartsWith("127."), ::testing::StrEq("::1"))));
  for (const std::string& address : local.addresses()) {
    EXPECT_TRUE(Answers(address, local.port())) << address;
  }
  const Listener every = Listener::Open("0.0.0.0", 0, false);
  EXPECT_THAT(every.addresses(), ElementsAre("0.0.0.0"));
  EXPECT_TRUE(Answers("127.0.0.2", every.port()));
}

TEST(ListenerTest, TheNameOfThisHostIsReachableFromOtherHosts) {
  const auto network = NetworkAddress();
  if (!network) GTEST_SKIP() << "this machine has a loopback interface only";
  const Listener listener = Listener::Open(HostName(), 0, false);
  EXPECT_THAT(listener.addresses(), Contains(*network));
  EXPECT_TRUE(Answers(HostName(), listener.port()));
  EXPECT_TRUE(Answers(*network, listener.port()));
  EXPECT_THAT(listener.addresses(), Not(Contains("0.0.0.0")));
}

TEST(ListenerTest, AnAddressOfAnotherHostIsRefused) {
  ExpectError(ErrorCode::kUnavailable,
              {"rank 0 cannot listen on port 2950 of 203.0.113.9", "an address of rank 0's host"},
              [] { (void)Listener::Open("203.0.113.9", 2950, false); });
  ExpectError(ErrorCode::kUnavailable, {"rank 0 cannot listen on xxx"}, [] {
    (void)Listener::Open(std::string(300, 'x'), 2950, false);
  });
}

TEST(ProofTest, IsHmacSha256OverThePartsAndTheirLengths) {
  // From Python's hmac module: key "key", message "1:a2:bc".
  EXPECT_EQ(Proof("key", {"a", "bc"}),
            "1285c12d1467a2dda4fe0f874da6e8e15938a9e56a374ff0ac2a1778900e98f6");
  EXPECT_NE(Proof("key", {"a", "bc"}), Proof("key", {"ab", "c"}));
  EXPECT_NE(Proof("key", {"a"}), Proof("kez", {"a"}));
  EXPECT_EQ(HelloLine("0123456789abcdef", std::string(32, '0')),
            "dbsp.ranks/2 00000000000000000000000000000000 "
            "021056ae8eb9f42e131c710af99dcab23a2643da479309750ce6fd629b513ce0");
  EXPECT_TRUE(SameSecret("abc", "abc"));
  EXPECT_FALSE(SameSecret("abc", "abd"));
  EXPECT_FALSE(SameSecret("abc", "abcd"));
  EXPECT_TRUE(IsHex(RandomHex(), kNonceCharacters));
  EXPECT_NE(RandomHex(), RandomHex());
}

TEST(ProofTest, EveryLineHoldsForItsTokenAndNoncesOnly) {
  const Nonces nonces{RandomHex(), RandomHex()};
  const Nonces others{RandomHex(), RandomHex()};
  const std::string hello = HelloLine("token", nonces.rank);
  EXPECT_EQ(NonceOfHello("token", hello), nonces.rank);
  EXPECT_FALSE(NonceOfHello("other", hello));
  EXPECT_FALSE(NonceOfHello("token", ""));
  const std::string answer = AnswerLine("token", nonces);
  EXPECT_EQ(NonceOfAnswer("token", nonces.rank, answer), nonces.zero);
  EXPECT_FALSE(NonceOfAnswer("other", nonces.rank, answer));
  EXPECT_FALSE(NonceOfAnswer("token", others.rank, answer));
  const std::string facts = FactsLine("token", nonces, "{}");
  EXPECT_EQ(FactsOf("token", nonces, facts), "{}");
  EXPECT_FALSE(FactsOf("other", nonces, facts));
  EXPECT_FALSE(FactsOf("token", others, facts));
  EXPECT_FALSE(FactsOf("token", nonces, facts + " "));
  EXPECT_LT(hello.size(), kLongestHello);
  EXPECT_LT(answer.size(), kLongestHello);
}

RunToken TokenIn(const std::map<std::string, std::string>& variables,
                 const std::string& launcher = "Slurm") {
  return TokenOfRun({.size = 2, .launcher = launcher, .job = "77.0"}, [&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

TEST(RunTokenTest, IsGivenOrTheLaunchersSecretOrItsJob) {
  const std::string given = "0123456789abcdef";
  const std::string key = "5fbd0d3c8e4195f1-80f964226d1575ea";
  const std::map<std::string, std::string> open_mpi{{"OMPI_MCA_orte_precondition_transports", key}};
  EXPECT_EQ(TokenIn({{kTokenVariable, given}}).text, given);
  EXPECT_TRUE(TokenIn({{kTokenVariable, given}}).secret);
  EXPECT_EQ(TokenIn(open_mpi, "Open MPI").text, key);
  EXPECT_TRUE(TokenIn(open_mpi, "Open MPI").secret);
  // Ranks of one launcher inherit variables of an outer one.
  EXPECT_FALSE(TokenIn(open_mpi, "Slurm").secret);
  EXPECT_THAT(TokenIn({}).text, HasSubstr("77.0"));
  EXPECT_FALSE(TokenIn({}).secret);
  // Slurm and singletons fill the same variable from the job's number.
  for (const char* known : {"017569a900000000-017569a900000000",
                            "0000000000000000-0000000000000000",
                            "5fbd0d3c8e4195f1-5fbd0d3c8e4195f1",
                            "5fbd0d3c8e4195f1",
                            ""}) {
    EXPECT_FALSE(TokenIn({{"OMPI_MCA_orte_precondition_transports", known}}, "Open MPI").secret)
        << known;
  }
}

TEST(RunTokenTest, AShortOrEmptyTokenIsRefusedAndNotRepeated) {
  for (const std::string& text : {std::string(), std::string("hunter2")}) {
    try {
      (void)TokenIn({{kTokenVariable, text}});
      ADD_FAILURE() << "no error for '" << text << "'";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_THAT(error.what(), HasSubstr("DBSP_RENDEZVOUS_TOKEN has"));
      EXPECT_TRUE(text.empty() || std::string(error.what()).find(text) == std::string::npos);
    }
  }
}

}  // namespace
}  // namespace dbsp::runtime
