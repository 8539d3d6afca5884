// SPDX-License-Identifier: Apache-2.0
#include "runtime/ranks/rank_bootstrap.h"

#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <thread>

#include "core/error.h"
#include "runtime/clock.h"
#include "runtime/host.h"

namespace dbsp::runtime {
namespace {

constexpr auto kLookEvery = std::chrono::milliseconds(5);
/// For one address of rank 0 and for its first answer: what is slower is not it.
constexpr std::int64_t kConnectNs = 5'000'000'000;
/// For the first word of whoever connects.
constexpr std::int64_t kHelloNs = 10'000'000'000;

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

RankProcess Myself(const GroupOptions& options) {
  return {.rank = options.rank, .host = HostName(), .host_id = HostId(), .pid = ::getpid()};
}

}  // namespace

RankBootstrap::RankBootstrap(GroupOptions& options)
    : options_(options),
      token_(options.token),
      ranks_(static_cast<std::size_t>(options.size)),
      came_(static_cast<std::size_t>(options.size)),
      channels_(static_cast<std::size_t>(options.size)) {
  ranks_[0] = Myself(options);
  came_[0] = true;
}

RankBootstrap::~RankBootstrap() {
  std::error_code ignored;
  if (!written_.empty()) std::filesystem::remove(written_, ignored);
}

void RankBootstrap::Open() {
  if (options_.listener) {
    listener_ = std::move(options_.listener);
    return;
  }
  const Rendezvous& at = options_.rendezvous;
  listener_ = Listen(ListenOn::kEveryInterface, at.path.empty() ? at.port : 0);
  if (at.path.empty()) return;
  token_ = MakeToken();
  WriteRankZero(at.path, {AddressesOfThisHost(), PortOf(listener_), token_});
  written_ = at.path;
}

void RankBootstrap::Run() {
  Open();
  const std::int64_t end = SteadyNs() + options_.deadline_ns;
  while (std::find(came_.begin(), came_.end(), false) != came_.end()) {
    AcceptAll();
    ReadHandshakes();
    CheckThoseWhoCame();
    if (options_.interrupted()) GiveUp("interrupted before all ranks had come");
    if (SteadyNs() >= end) {
      std::vector<int> missing;
      for (int r = 0; r < options_.size; ++r) {
        if (!came_[r]) missing.push_back(r);
      }
      GiveUp(fmt::format("{} of {} ranks came within {:g} s; missing: {}; rendezvous {}",
                         options_.size - static_cast<int>(missing.size()),
                         options_.size,
                         Seconds(options_.deadline_ns),
                         fmt::join(missing, ", "),
                         Describe(options_.rendezvous)));
    }
    std::this_thread::sleep_for(kLookEvery);
  }
  SendRoster();
}

void RankBootstrap::AcceptAll() {
  while (auto socket = Accept(listener_)) {
    strangers_.push_back({LineChannel(std::move(*socket)), SteadyNs() + kHelloNs});
  }
}

void RankBootstrap::ReadHandshakes() {
  for (std::size_t i = 0; i < strangers_.size();) {
    Stranger& stranger = strangers_[i];
    stranger.channel.Pump();
    const auto line = stranger.channel.Take();
    if (line) (void)Admit(stranger.channel, *line);
    if (line || !stranger.channel.problem().empty() || SteadyNs() > stranger.until_ns) {
      strangers_.erase(strangers_.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      ++i;
    }
  }
}

bool RankBootstrap::Admit(LineChannel& channel, const std::string& line) {
  std::string protocol;
  std::string build;
  std::string token;
  std::int64_t size = 0;
  RankProcess process;
  try {
    const std::string origin = "a rank";
    const Json json = ParseJson(line, origin);
    const JsonView hello(json, origin);
    protocol = hello["protocol"].String();
    if (!protocol.starts_with("dbsp.ranks/")) return false;
    process = FromJson(hello);
    token = hello["token"].String();
    build = hello["build"].String();
    size = hello["size"].Int();
  } catch (const Error&) {
    return false;  // no rank of any run: a port scanner, a health check
  }
  if (token != token_) {
    (void)channel.Send(DumpJson({{"another_run", true}}), kConnectNs);
    return false;
  }
  const std::string name = NameOf(process);
  if (protocol != kRanksProtocol || build != options_.build) {
    RefuseAll(channel,
              fmt::format("{} is {} ({}), rank 0 on {} is {} ({}): start the same build everywhere",
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
        fmt::format("{} was told of {} ranks, rank 0 of {}: start all with one command, or with "
                    "the same number",
                    name,
                    size,
                    options_.size));
  }
  const auto rank = static_cast<std::size_t>(process.rank);
  if (process.rank >= options_.size || came_[rank]) {
    RefuseAll(
        channel,
        process.rank >= options_.size
            ? fmt::format("{} of {} ranks", name, options_.size)
            : fmt::format(
                  "{} and {}: two processes were given one rank", NameOf(ranks_[rank]), name));
  }
  if (!channel.Send(DumpJson({{"joined", true}}), kConnectNs)) return false;
  ranks_[rank] = process;
  came_[rank] = true;
  channels_[rank] = std::move(channel);
  return true;
}

void RankBootstrap::RefuseAll(LineChannel& channel, const std::string& why) {
  (void)channel.Send(DumpJson({{"refused", why}}), kConnectNs);
  for (int r = 1; r < options_.size; ++r) {
    if (came_[r]) (void)channels_[r].Send(DumpJson({{"refused", why}}), kConnectNs);
  }
  throw Error(ErrorCode::kMismatch, why);
}

void RankBootstrap::CheckThoseWhoCame() {
  for (int r = 1; r < options_.size; ++r) {
    if (came_[r]) {
      channels_[r].Pump();
      if (channels_[r].problem().empty()) continue;
      GiveUp(fmt::format(
          "{} left before all ranks had come: {}", NameOf(ranks_[r]), channels_[r].problem()));
    }
    if (const auto how = options_.ended(r)) {
      GiveUp(fmt::format("rank {} never came: its process {}", r, *how));
    }
  }
}

void RankBootstrap::GiveUp(const std::string& why) {
  for (int r = 1; r < options_.size; ++r) {
    if (came_[r]) (void)channels_[r].Send(DumpJson({{"refused", why}}), kConnectNs);
  }
  throw Error(ErrorCode::kMeasurement, why);
}

void RankBootstrap::SendRoster() {
  Json all = Json::array();
  for (const RankProcess& process : ranks_) all.push_back(ToJson(process));
  for (int r = 1; r < options_.size; ++r) {
    if (!channels_[r].Send(DumpJson({{"ranks", all}}), options_.deadline_ns)) {
      GiveUp(
          fmt::format("{} left when all had come: {}", NameOf(ranks_[r]), channels_[r].problem()));
    }
  }
}

namespace internal {
namespace {

Json Hello(const GroupOptions& options, const std::string& token) {
  Json hello = ToJson(Myself(options));
  hello["protocol"] = kRanksProtocol;
  hello["size"] = options.size;
  hello["build"] = options.build;
  hello["token"] = token;
  return hello;
}

/// One try at one address; nothing when it is not rank 0 of this run.
std::optional<LineChannel> TryAddress(const GroupOptions& options,
                                      const std::string& host,
                                      const RankZero& zero,
                                      std::string& problem) {
  auto socket = Connect(host, zero.port, kConnectNs, problem);
  if (!socket) return std::nullopt;
  LineChannel channel(std::move(*socket));
  const auto answer = channel.Send(DumpJson(Hello(options, zero.token)), kConnectNs)
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
  problem = json.is_object() && json.contains("another_run") ? "another run answers there"
                                                             : "something else answers there";
  return std::nullopt;
}

std::optional<LineChannel> TryAll(const GroupOptions& options, std::string& problem) {
  RankZero zero{{options.rendezvous.host}, options.rendezvous.port, options.token};
  if (!options.rendezvous.path.empty()) {
    const auto found = ReadRankZero(options.rendezvous.path);
    problem = "rank 0 has not written it; do all ranks see this folder?";
    if (!found) return std::nullopt;
    zero = *found;
  }
  for (const std::string& host : zero.hosts) {
    std::string here;
    if (auto channel = TryAddress(options, host, zero, here)) return channel;
    problem = fmt::format("{} port {}: {}", host, zero.port, here);
  }
  return std::nullopt;
}

}  // namespace

LineChannel MeetRankZero(const GroupOptions& options, std::vector<RankProcess>& ranks) {
  const std::int64_t end = SteadyNs() + options.deadline_ns;
  std::string problem;
  std::optional<LineChannel> channel;
  while (!(channel = TryAll(options, problem))) {
    if (options.interrupted()) Fail(ErrorCode::kMeasurement, "interrupted before rank 0 was met");
    if (SteadyNs() >= end) {
      Fail(ErrorCode::kMeasurement,
           "rank {}: rank 0 was not met within {:g} s; rendezvous {}: {}",
           options.rank,
           Seconds(options.deadline_ns),
           Describe(options.rendezvous),
           problem);
    }
    std::this_thread::sleep_for(20 * kLookEvery);
  }
  // Rank 0 says at its own deadline who is missing; a little later than that it is gone.
  const std::int64_t until = SteadyNs() + options.deadline_ns + kConnectNs;
  std::optional<std::string> line;
  while (!(line = channel->Receive(100'000'000)) && channel->problem().empty() &&
         SteadyNs() < until && !options.interrupted()) {
  }
  if (!line) {
    Fail(ErrorCode::kMeasurement,
         "rank {}: rank 0 is gone before all ranks had come: {}",
         options.rank,
         channel->problem().empty() ? "no word from it" : channel->problem());
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
