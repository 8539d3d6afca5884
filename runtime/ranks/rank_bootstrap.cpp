// SPDX-License-Identifier: Apache-2.0
#include "runtime/ranks/rank_bootstrap.h"

#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <thread>

#include "core/error.h"
#include "core/json.h"
#include "runtime/clock.h"
#include "runtime/host.h"

namespace dbsp::runtime {
namespace {

constexpr auto kPollInterval = std::chrono::milliseconds(5);
/// Deadline for a connection to one address of rank 0, and for one answer.
constexpr std::int64_t kConnectNs = 5'000'000'000;
/// Deadline for the handshake of a new connection.
constexpr std::int64_t kHandshakeNs = 10'000'000'000;

double Seconds(std::int64_t ns) { return static_cast<double>(ns) * 1e-9; }

std::string NameOf(const RankProcess& process) {
  return fmt::format("rank {} ({}, pid {})", process.rank, process.host, process.pid);
}

Json ToJson(const RankProcess& process) {
  return {{"rank", process.rank},
          {"host", process.host},
          {"host_id", process.host_id},
          {"pid", process.pid}};
}

RankProcess FromJson(const JsonView& view) {
  RankProcess process;
  process.rank = static_cast<int>(view["rank"].Int(0, 65535));
  process.host = view["host"].String();
  process.host_id = view["host_id"].String();
  process.pid = static_cast<int>(view["pid"].Int());
  return process;
}

RankProcess ThisProcess(const GroupOptions& options) {
  return {.rank = options.rank, .host = HostName(), .host_id = HostId(), .pid = ::getpid()};
}

}  // namespace

RankBootstrap::RankBootstrap(GroupOptions& options)
    : options_(options),
      token_(options.token),
      ranks_(static_cast<std::size_t>(options.size)),
      joined_(static_cast<std::size_t>(options.size)),
      channels_(static_cast<std::size_t>(options.size)) {
  ranks_[0] = ThisProcess(options);
  joined_[0] = true;
}

RankBootstrap::~RankBootstrap() {
  std::error_code ignored;
  if (written_) std::filesystem::remove(*written_, ignored);
}

void RankBootstrap::Open() {
  if (options_.listener) {
    listener_ = std::move(options_.listener);
    return;
  }
  const Rendezvous& rendezvous = options_.rendezvous;
  listener_ = Listen(ListenOn::kEveryInterface, rendezvous.path ? 0 : rendezvous.port);
  if (!rendezvous.path) return;
  token_ = MakeToken();
  WriteRankZero(*rendezvous.path, {AddressesOfThisHost(), PortOf(listener_), token_});
  written_ = rendezvous.path;
}

void RankBootstrap::Run() {
  Open();
  const std::int64_t end = SteadyNs() + options_.deadline_ns;
  while (std::find(joined_.begin(), joined_.end(), false) != joined_.end()) {
    AcceptConnections();
    ReadHandshakes();
    CheckJoinedRanks();
    if (options_.interrupted()) GiveUp("interrupted before all ranks had joined");
    if (SteadyNs() >= end) {
      std::vector<int> missing;
      for (int r = 0; r < options_.size; ++r) {
        if (!joined_[r]) missing.push_back(r);
      }
      GiveUp(fmt::format("{} of {} ranks joined within {:g} s; missing: {}; rendezvous {}",
                         options_.size - static_cast<int>(missing.size()),
                         options_.size,
                         Seconds(options_.deadline_ns),
                         fmt::join(missing, ", "),
                         Describe(options_.rendezvous)));
    }
    std::this_thread::sleep_for(kPollInterval);
  }
  SendRoster();
}

void RankBootstrap::AcceptConnections() {
  while (auto socket = Accept(listener_)) {
    pending_.push_back({LineChannel(std::move(*socket)), SteadyNs() + kHandshakeNs});
  }
}

void RankBootstrap::ReadHandshakes() {
  for (std::size_t i = 0; i < pending_.size();) {
    PendingConnection& connection = pending_[i];
    connection.channel.Pump();
    const auto line = connection.channel.Take();
    if (line) Admit(connection.channel, *line);
    if (line || !connection.channel.problem().empty() || SteadyNs() > connection.until_ns) {
      pending_.erase(pending_.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      ++i;
    }
  }
}

void RankBootstrap::Admit(LineChannel& channel, const std::string& line) {
  std::string protocol;
  std::string build;
  std::string token;
  std::int64_t size = 0;
  RankProcess process;
  try {
    const std::string origin = "a rank";
    const Json json = ParseJson(line, origin);
    const JsonView handshake(json, origin);
    protocol = handshake["protocol"].String();
    if (!protocol.starts_with("dbsp.ranks/")) return;
    process = FromJson(handshake);
    token = handshake["token"].String();
    build = handshake["build"].String();
    size = handshake["size"].Int();
  } catch (const Error&) {
    return;  // another program, such as a port scanner or a health check
  }
  if (token != token_) {
    (void)channel.Send(DumpJson({{"another_run", true}}), kConnectNs);
    return;
  }
  const std::string name = NameOf(process);
  if (protocol != kRanksProtocol || build != options_.build) {
    RefuseAll(channel,
              fmt::format(
                  "{} is {} ({}), but rank 0 on {} is {} ({}): start the same build on every rank",
                  name,
                  build,
                  protocol,
                  ranks_[0].host,
                  options_.build,
                  kRanksProtocol));
  }
  if (size != options_.size) {
    RefuseAll(
        channel,
        fmt::format("{} was started for {} ranks, but rank 0 for {}: start all ranks with one "
                    "command, or with the same number of ranks",
                    name,
                    size,
                    options_.size));
  }
  const auto rank = static_cast<std::size_t>(process.rank);
  if (process.rank >= options_.size || joined_[rank]) {
    RefuseAll(channel,
              process.rank >= options_.size
                  ? fmt::format("{} is not one of {} ranks", name, options_.size)
                  : fmt::format(
                        "{} and {}: two processes have the same rank", NameOf(ranks_[rank]), name));
  }
  if (!channel.Send(DumpJson({{"joined", true}}), kConnectNs)) return;
  ranks_[rank] = process;
  joined_[rank] = true;
  channels_[rank] = std::move(channel);
}

void RankBootstrap::SendRefusal(const std::string& why) {
  for (int r = 1; r < options_.size; ++r) {
    if (joined_[r]) (void)channels_[r].Send(DumpJson({{"refused", why}}), kConnectNs);
  }
}

void RankBootstrap::RefuseAll(LineChannel& channel, const std::string& why) {
  (void)channel.Send(DumpJson({{"refused", why}}), kConnectNs);
  SendRefusal(why);
  throw Error(ErrorCode::kMismatch, why);
}

void RankBootstrap::CheckJoinedRanks() {
  for (int r = 1; r < options_.size; ++r) {
    if (joined_[r]) {
      channels_[r].Pump();
      if (channels_[r].problem().empty()) continue;
      GiveUp(fmt::format(
          "{} left before all ranks had joined: {}", NameOf(ranks_[r]), channels_[r].problem()));
    }
    if (const auto how = options_.ended(r)) {
      GiveUp(fmt::format("rank {} did not join: its process {}", r, *how));
    }
  }
}

void RankBootstrap::GiveUp(const std::string& why) {
  SendRefusal(why);
  throw Error(ErrorCode::kMeasurement, why);
}

void RankBootstrap::SendRoster() {
  Json all = Json::array();
  for (const RankProcess& process : ranks_) all.push_back(ToJson(process));
  for (int r = 1; r < options_.size; ++r) {
    if (!channels_[r].Send(DumpJson({{"ranks", all}}), options_.deadline_ns)) {
      GiveUp(fmt::format(
          "{} left when all ranks had joined: {}", NameOf(ranks_[r]), channels_[r].problem()));
    }
  }
}

namespace internal {
namespace {

Json Handshake(const GroupOptions& options, const std::string& token) {
  Json handshake = ToJson(ThisProcess(options));
  handshake["protocol"] = kRanksProtocol;
  handshake["size"] = options.size;
  handshake["build"] = options.build;
  handshake["token"] = token;
  return handshake;
}

/// Tries one address. Returns nothing, and the reason in `problem`, when it is not rank 0 of this
/// run.
std::optional<LineChannel> TryAddress(const GroupOptions& options,
                                      const std::string& host,
                                      const RankZero& zero,
                                      std::string& problem) {
  auto socket = Connect(host, zero.port, kConnectNs, problem);
  if (!socket) return std::nullopt;
  LineChannel channel(std::move(*socket));
  const auto answer = channel.Send(DumpJson(Handshake(options, zero.token)), kConnectNs)
                          ? channel.Receive(kConnectNs)
                          : std::nullopt;
  if (!answer) {
    problem = channel.problem().empty() ? "no answer" : channel.problem();
    return std::nullopt;
  }
  const Json json = Json::parse(*answer, nullptr, false);
  if (json.is_object() && json.contains("refused") && json["refused"].is_string()) {
    throw EndedByRankZero(ErrorCode::kMismatch, json["refused"].get<std::string>());
  }
  if (json.is_object() && json.contains("joined")) return channel;
  problem = json.is_object() && json.contains("another_run") ? "a rank of another run answers there"
                                                             : "another program answers there";
  return std::nullopt;
}

std::optional<LineChannel> TryAll(const GroupOptions& options, std::string& problem) {
  RankZero zero{{options.rendezvous.host}, options.rendezvous.port, options.token};
  if (options.rendezvous.path) {
    const auto found = ReadRankZero(*options.rendezvous.path);
    problem = "rank 0 has not written the file; is its folder visible to all ranks?";
    if (!found) return std::nullopt;
    zero = *found;
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
    std::this_thread::sleep_for(20 * kPollInterval);
  }
  // At its own deadline rank 0 reports which ranks are missing, so this rank waits a little longer.
  const std::int64_t until = SteadyNs() + options.deadline_ns + kConnectNs;
  std::optional<std::string> line;
  while (!(line = channel->Receive(100'000'000)) && channel->problem().empty() &&
         SteadyNs() < until && !options.interrupted()) {
  }
  if (!line) {
    Fail(ErrorCode::kMeasurement,
         "rank {}: rank 0 ended before all ranks had joined: {}",
         options.rank,
         channel->problem().empty() ? "it sent nothing" : channel->problem());
  }
  const std::string origin = "rank 0";
  const Json json = ParseJson(*line, origin);
  const JsonView view(json, origin);
  if (view.Has("refused")) {
    throw EndedByRankZero(ErrorCode::kMeasurement, view["refused"].String());
  }
  for (const JsonView& process : view["ranks"].Items()) ranks.push_back(FromJson(process));
  if (ranks.size() != static_cast<std::size_t>(options.size)) view["ranks"].Wrong("every rank");
  return std::move(*channel);
}

}  // namespace internal
}  // namespace dbsp::runtime
