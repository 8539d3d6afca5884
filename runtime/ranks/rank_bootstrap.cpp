// SPDX-License-Identifier: Apache-2.0
#include "runtime/ranks/rank_bootstrap.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "core/error.h"
#include "core/json.h"
#include "runtime/clock.h"
#include "runtime/ranks/proof.h"
#include "runtime/ranks/rank_handshake.h"

namespace dbsp::runtime {
namespace {

constexpr auto kPollInterval = std::chrono::milliseconds(5);
/// Deadline for a rank to read a short message.
constexpr std::int64_t kSendNs = 5'000'000'000;
/// Longest line that a rank which has joined may send.
constexpr std::size_t kLongestReport = std::size_t{1} << 20U;

}  // namespace

RankBootstrap::RankBootstrap(GroupOptions& options)
    : options_(options),
      ranks_(static_cast<std::size_t>(options.size)),
      joined_(static_cast<std::size_t>(options.size)),
      channels_(static_cast<std::size_t>(options.size)) {
  ranks_[0] = ThisProcess(options);
  joined_[0] = true;
}

void RankBootstrap::Open() {
  const Rendezvous& rendezvous = options_.rendezvous;
  std::string token = options_.token;
  Listener listener = std::move(options_.listener);
  if (!listener && !rendezvous.path) {
    listener = Listener::Open(rendezvous.host, rendezvous.port, options_.one_host);
  } else if (!listener) {
    // The file names the one address on which rank 0 listens.
    const std::string loopback = "127.0.0.1";
    const std::string address = options_.one_host ? loopback : NetworkAddress().value_or(loopback);
    listener = Listener::Open(address, 0, options_.one_host);
    const std::string drawn = RandomHex();
    file_.emplace(*rendezvous.path, RankZero{listener.addresses(), listener.port(), drawn});
    token = FileToken(drawn, token);
  }
  DBSP_CHECK(!token.empty());
  options_.listening(listener.Describe());
  pending_.emplace(std::move(listener), std::move(token), options_.size);
}

void RankBootstrap::Run() {
  Open();
  const std::int64_t end = SteadyNs() + options_.deadline_ns;
  while (std::find(joined_.begin(), joined_.end(), false) != joined_.end()) {
    for (PendingRanks::Proven& proven : pending_->Advance()) Admit(proven);
    CheckJoinedRanks();
    if (options_.interrupted()) GiveUp("interrupted before all ranks had joined");
    if (SteadyNs() >= end) GiveUp(Missing());
    std::this_thread::sleep_for(kPollInterval);
  }
  SendRoster();
}

std::string RankBootstrap::Missing() const {
  std::vector<int> missing;
  for (int r = 0; r < options_.size; ++r) {
    if (!joined_[r]) missing.push_back(r);
  }
  std::string text = fmt::format("{} of {} ranks joined within {:g} s; missing: {}; rendezvous {}",
                                 options_.size - static_cast<int>(missing.size()),
                                 options_.size,
                                 Seconds(options_.deadline_ns),
                                 fmt::join(missing, ", "),
                                 Describe(options_.rendezvous));
  if (pending_->dropped() > 0) {
    text += fmt::format(
        "; connections that did not prove this run's token: {} (other programs, or ranks with "
        "another token or another version of dbsp)",
        pending_->dropped());
  }
  if (pending_->lacked_descriptors()) text += "; rank 0 may open no more files (ulimit -n)";
  return text;
}

void RankBootstrap::Admit(PendingRanks::Proven& proven) {
  RankProcess process;
  std::int64_t size = 0;
  std::string build;
  try {
    const std::string origin = "its facts";
    const Json json = ParseJson(proven.facts, origin, {.max_bytes = kLongestFacts, .max_depth = 4});
    const JsonView facts(json, origin);
    process = RankProcessFrom(facts);
    size = facts["size"].Int(1, kMostRanks);
    build = facts["build"].String();
  } catch (const Error& error) {
    RefuseAll(
        proven.channel,
        fmt::format(
            "a rank at {} sent a message that dbsp cannot read: {}", proven.address, error.what()));
  }
  CheckFacts(proven, process, size, build);
  if (!proven.channel.Send(DumpJson({{"joined", true}}), kSendNs)) return;
  const auto rank = static_cast<std::size_t>(process.rank);
  ranks_[rank] = process;
  joined_[rank] = true;
  channels_[rank] = std::move(proven.channel);
  channels_[rank].set_longest_line(kLongestReport);
}

void RankBootstrap::CheckFacts(PendingRanks::Proven& proven,
                               const RankProcess& process,
                               std::int64_t size,
                               const std::string& build) {
  const std::string name = NameOf(process);
  if (build != options_.build) {
    RefuseAll(proven.channel,
              fmt::format("{} is {}, but rank 0 on {} is {}: start the same build on every rank",
                          name,
                          build,
                          ranks_[0].host,
                          options_.build));
  }
  if (size != options_.size) {
    RefuseAll(
        proven.channel,
        fmt::format("{} was started for {} ranks, but rank 0 for {}: start all ranks with one "
                    "command, or with the same number of ranks",
                    name,
                    size,
                    options_.size));
  }
  if (process.rank >= options_.size) {
    RefuseAll(proven.channel, fmt::format("{} is not one of {} ranks", name, options_.size));
  }
  const auto rank = static_cast<std::size_t>(process.rank);
  if (joined_[rank]) {
    RefuseAll(
        proven.channel,
        fmt::format("{} and {}: two processes have the same rank", NameOf(ranks_[rank]), name));
  }
}

void RankBootstrap::SendRefusal(const std::string& why) {
  for (int r = 1; r < options_.size; ++r) {
    if (joined_[r]) (void)channels_[r].Send(DumpJson({{"refused", why}}), kSendNs);
  }
}

void RankBootstrap::RefuseAll(LineChannel& channel, const std::string& why) {
  (void)channel.Send(DumpJson({{"refused", why}}), kSendNs);
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

}  // namespace dbsp::runtime
