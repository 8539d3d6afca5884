// SPDX-License-Identifier: Apache-2.0
#include "runtime/ranks/process_group.h"

#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <thread>
#include <utility>

#include "core/error.h"
#include "runtime/clock.h"
#include "runtime/ranks/rank_bootstrap.h"
#include "runtime/ranks/rank_handshake.h"
#include "runtime/ranks/rank_zero_link.h"

namespace dbsp::runtime {
namespace {

/// Rank 0 sends an order only after the answer to the one before.
constexpr std::size_t kMostMessages = 256;
/// A process that closed its connection ends within this time.
constexpr std::int64_t kUntilReapedNs = 500'000'000;

/// "; it was killed by signal 9 (Killed)", or "" when how the process ended is not known.
std::string HowItEnded(const std::function<std::optional<std::string>(int)>& ended, int rank) {
  const std::int64_t until = SteadyNs() + kUntilReapedNs;
  do {
    if (const auto how = ended(rank)) return "; it " + *how;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  } while (SteadyNs() < until);
  return "";
}

}  // namespace

ProcessGroup::ProcessGroup(GroupOptions options) : options_(std::move(options)) {}
ProcessGroup::~ProcessGroup() = default;

std::unique_ptr<ProcessGroup> ProcessGroup::Join(GroupOptions options) {
  if (options.size < 1 || options.size > kMostRanks || options.rank < 0 ||
      options.rank >= options.size) {
    Fail(ErrorCode::kInvalidArgument, "rank {} of {} ranks", options.rank, options.size);
  }
  std::unique_ptr<ProcessGroup> group(new ProcessGroup(std::move(options)));
  if (group->rank() == 0) {
    group->AcceptRanks();
  } else {
    group->ConnectToRankZero();
  }
  group->AssignNodes();
  return group;
}

void ProcessGroup::AcceptRanks() {
  RankBootstrap bootstrap(options_);
  bootstrap.Run();
  ranks_ = bootstrap.TakeRanks();
  links_.resize(size());
  for (int r = 1; r < size(); ++r) links_[r].channel = bootstrap.TakeChannel(r);
}

void ProcessGroup::ConnectToRankZero() {
  links_.resize(1);
  links_[0].channel = runtime::ConnectToRankZero(options_, ranks_);
}

void ProcessGroup::AssignNodes() {
  std::map<std::string, std::pair<int, int>> hosts;  // node, and number of its ranks so far
  for (RankProcess& process : ranks_) {
    auto& [node, count] =
        hosts.try_emplace(process.host_id, static_cast<int>(hosts.size()), 0).first->second;
    process.node = node;
    process.local_rank = count++;
  }
}

std::string ProcessGroup::NameOf(int rank) const { return runtime::NameOf(ranks_.at(rank)); }

ProcessGroup::Link& ProcessGroup::LinkTo(int rank) {
  DBSP_CHECK(this->rank() == 0 ? rank > 0 && rank < size() : rank == 0);
  return links_[rank];
}

const std::deque<Json>& ProcessGroup::Pending(int from) const { return links_.at(from).messages; }

void ProcessGroup::Break(const std::string& why) {
  if (!broken_) broken_ = why;
}

void ProcessGroup::PumpLink(int rank) {
  Link& link = LinkTo(rank);
  link.channel.Pump();
  while (auto line = link.channel.Take()) {
    try {
      const std::string name = NameOf(rank);
      Json message = ParseJson(*line, name, kControlLimits);
      if (!message.is_object()) Fail(ErrorCode::kCorruptInput, "expected an object");
      options_.check(JsonView(message, name));
      link.messages.push_back(std::move(message));
    } catch (const Error& error) {
      link.channel.Close(fmt::format("sent a message that dbsp cannot read: {}", error.what()));
      break;
    }
    if (link.messages.size() > kMostMessages) {
      link.channel.Close(fmt::format("sent {} messages that nothing asked for", kMostMessages));
      break;
    }
  }
  if (!link.channel.problem().empty() && !broken_) {
    Break(fmt::format("{} is gone: {}{}",
                      NameOf(rank),
                      link.channel.problem(),
                      HowItEnded(options_.ended, rank)));
  }
}

void ProcessGroup::Pump() {
  if (rank() != 0) {
    PumpLink(0);
    return;
  }
  for (int r = 1; r < size(); ++r) PumpLink(r);
}

void ProcessGroup::Send(int to, const Json& message) {
  Link& link = LinkTo(to);
  if (link.channel.Send(DumpJson(message), options_.deadline_ns)) return;
  Break(fmt::format(
      "{} is gone: {}{}", NameOf(to), link.channel.problem(), HowItEnded(options_.ended, to)));
  throw Error(ErrorCode::kMeasurement, *broken_);
}

Json ProcessGroup::Receive(int from, std::int64_t deadline_ns, const std::string& what) {
  const std::int64_t end = SteadyNs() + deadline_ns;
  Link& link = LinkTo(from);
  for (;;) {
    Pump();
    if (!link.messages.empty()) {
      Json message = std::move(link.messages.front());
      link.messages.pop_front();
      return message;
    }
    if (broken_) throw Error(ErrorCode::kMeasurement, *broken_);
    if (SteadyNs() >= end) GiveUpOn(from, deadline_ns, what);
    // A short wait, so that the end of another rank and an interrupt are noticed.
    WaitFor(from, 5'000'000);
  }
}

void ProcessGroup::GiveUpOn(int from, std::int64_t waited_ns, const std::string& what) {
  Break(fmt::format("{} did not answer within {:g} s: {}",
                    NameOf(from),
                    static_cast<double>(waited_ns) * 1e-9,
                    what));
  throw Error(ErrorCode::kMeasurement, *broken_);
}

void ProcessGroup::WaitFor(int from, std::int64_t longest_ns) {
  Link& link = LinkTo(from);
  if (link.messages.empty() && link.channel.problem().empty()) {
    (void)WaitForFile(link.channel.fd(), WaitTo::kRead, longest_ns);
  }
}

}  // namespace dbsp::runtime
