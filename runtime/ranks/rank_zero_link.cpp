// SPDX-License-Identifier: Apache-2.0
#include "runtime/ranks/rank_zero_link.h"

#include <fmt/format.h>

#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "core/error.h"
#include "runtime/clock.h"
#include "runtime/ranks/listener.h"
#include "runtime/ranks/proof.h"
#include "runtime/ranks/rank_handshake.h"

namespace dbsp::runtime {
namespace {

const std::string kOrigin = "rank 0";
constexpr auto kRetryInterval = std::chrono::milliseconds(100);
constexpr std::int64_t kShortWaitNs = 100'000'000;
/// Deadline for a connection to one address of rank 0, and for its answer to the hello.
constexpr std::int64_t kConnectNs = 5'000'000'000;

std::string Facts(const GroupOptions& options) {
  Json facts = ToJson(ThisProcess(options));
  facts["size"] = options.size;
  facts["build"] = options.build;
  return DumpJson(facts);
}

/// The next line of rank 0; nothing when it is gone, at `until_ns`, or when the user interrupted.
std::optional<std::string> NextLine(LineChannel& channel,
                                    const GroupOptions& options,
                                    std::int64_t until_ns) {
  std::optional<std::string> line;
  while (!(line = channel.Receive(kShortWaitNs)) && channel.problem().empty() &&
         SteadyNs() < until_ns && !options.interrupted()) {
  }
  return line;
}

/// Proves the token to the program at `host` and tells it this rank's facts. Returns nothing, and
/// the reason in `problem`, when it is not rank 0 of this run.
std::optional<LineChannel> Greet(const GroupOptions& options,
                                 const std::string& host,
                                 const RankZero& zero,
                                 std::string& problem) {
  auto socket = Connect(host, zero.port, kConnectNs, problem);
  if (!socket) return std::nullopt;
  LineChannel channel(std::move(*socket), kLongestHello);
  Nonces nonces{RandomHex(), ""};
  const auto answer = channel.Send(HelloLine(zero.token, nonces.rank), kConnectNs)
                          ? channel.Receive(kConnectNs)
                          : std::nullopt;
  const auto zero_nonce = answer ? NonceOfAnswer(zero.token, nonces.rank, *answer) : std::nullopt;
  if (!zero_nonce) {
    problem = channel.problem().empty() ? "no answer" : channel.problem();
    if (answer) problem = "a wrong answer";
    problem += "; another run, another version of dbsp or another program is there";
    return std::nullopt;
  }
  nonces.zero = *zero_nonce;
  channel.set_longest_line(kLongestLine);
  if (channel.Send(FactsLine(zero.token, nonces, Facts(options)), kConnectNs)) return channel;
  problem = channel.problem();
  return std::nullopt;
}

/// Joins through one address. Returns nothing, and the reason in `problem`, when that failed.
std::optional<LineChannel> TryAddress(const GroupOptions& options,
                                      const std::string& host,
                                      const RankZero& zero,
                                      std::string& problem) {
  auto channel = Greet(options, host, zero, problem);
  if (!channel) return std::nullopt;
  const auto line = NextLine(*channel, options, SteadyNs() + options.deadline_ns);
  if (!line) {
    problem = channel->problem().empty() ? "no answer" : channel->problem();
    return std::nullopt;
  }
  const Json json = ParseJson(*line, kOrigin, kControlLimits);
  const JsonView view(json, kOrigin);
  if (view.Has("refused")) throw EndedByRankZero(ErrorCode::kMismatch, view["refused"].String());
  if (!view["joined"].Bool()) view["joined"].Wrong("true");
  return channel;
}

std::optional<LineChannel> TryAll(const GroupOptions& options, std::string& problem) {
  RankZero zero{{options.rendezvous.host}, options.rendezvous.port, options.token};
  if (options.rendezvous.path) {
    const auto found = ReadRankZero(*options.rendezvous.path, problem);
    if (!found) return std::nullopt;
    zero = *found;
    zero.token = FileToken(found->token, options.token);
  }
  for (const std::string& host : zero.hosts) {
    std::string reason;
    if (auto channel = TryAddress(options, host, zero, reason)) return channel;
    problem = fmt::format("{} port {}: {}", host, zero.port, reason);
  }
  return std::nullopt;
}

}  // namespace

LineChannel ConnectToRankZero(const GroupOptions& options, std::vector<RankProcess>& ranks) {
  const std::int64_t end = SteadyNs() + options.deadline_ns;
  std::string problem;
  std::optional<LineChannel> channel;
  while (!(channel = TryAll(options, problem))) {
    if (options.interrupted()) Fail(ErrorCode::kMeasurement, "interrupted before rank 0 was found");
    if (SteadyNs() >= end) {
      Fail(ErrorCode::kMeasurement,
           "rank {}: rank 0 was not found within {:g} s; rendezvous {}: {}",
           options.rank,
           Seconds(options.deadline_ns),
           Describe(options.rendezvous),
           problem);
    }
    std::this_thread::sleep_for(kRetryInterval);
  }
  // At its own deadline rank 0 reports which ranks are missing, so this rank waits a little longer.
  const auto line = NextLine(*channel, options, SteadyNs() + options.deadline_ns + kConnectNs);
  if (!line) {
    Fail(ErrorCode::kMeasurement,
         "rank {}: rank 0 ended before all ranks had joined: {}",
         options.rank,
         channel->problem().empty() ? "it sent nothing" : channel->problem());
  }
  const Json json = ParseJson(*line, kOrigin, kControlLimits);
  const JsonView view(json, kOrigin);
  if (view.Has("refused")) {
    throw EndedByRankZero(ErrorCode::kMeasurement, view["refused"].String());
  }
  const JsonView list = view["ranks"];
  if (list.size() != static_cast<std::size_t>(options.size)) list.Wrong("every rank");
  for (const JsonView& process : list.Items()) {
    ranks.push_back(RankProcessFrom(process));
    if (ranks.back().rank != static_cast<int>(ranks.size()) - 1) {
      process["rank"].Wrong("the ranks in order");
    }
  }
  return std::move(*channel);
}

}  // namespace dbsp::runtime
