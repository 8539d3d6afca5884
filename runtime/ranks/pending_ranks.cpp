// SPDX-License-Identifier: Apache-2.0
#include "runtime/ranks/pending_ranks.h"

#include <algorithm>
#include <utility>

#include "runtime/clock.h"
#include "runtime/ranks/proof.h"

namespace dbsp::runtime {
namespace {

/// From the connection to the whole hello, and from there to the whole facts.
constexpr std::int64_t kHelloNs = 2'000'000'000;
constexpr std::int64_t kFactsNs = 10'000'000'000;
/// Connections that one Advance() accepts, so that a flood does not delay ranks that have joined.
constexpr int kMostAccepted = 256;
constexpr std::size_t kSpareConnections = 64;
constexpr std::size_t kSparePerAddress = 16;

}  // namespace

PendingRanks::PendingRanks(Listener listener, std::string token, int size)
    : listener_(std::move(listener)),
      token_(std::move(token)),
      most_(2 * static_cast<std::size_t>(size) + kSpareConnections),
      most_per_address_(static_cast<std::size_t>(size) + kSparePerAddress) {}

std::vector<PendingRanks::Proven> PendingRanks::Advance() {
  Accept();
  std::vector<Proven> proven;
  for (auto at = connections_.begin(); at != connections_.end();) {
    if (!at->facts && !Step(*at)) {
      at = Drop(at);
    } else if (at->facts) {
      proven.push_back({std::move(at->channel), at->address, std::move(*at->facts)});
      at = connections_.erase(at);
    } else {
      ++at;
    }
  }
  return proven;
}

void PendingRanks::Accept() {
  for (int i = 0; i < kMostAccepted; ++i) {
    Listener::Connection accepted;
    const Listener::Outcome outcome = listener_.Accept(accepted);
    if (outcome == Listener::Outcome::kNone) return;
    if (outcome == Listener::Outcome::kNoDescriptors) {
      lacked_descriptors_ = true;
      if (!DropOldest(std::nullopt)) return;
      continue;
    }
    MakeRoom(accepted.address);
    connections_.push_back({.channel = LineChannel(std::move(accepted.socket), kLongestHello),
                            .address = accepted.address,
                            .until_ns = SteadyNs() + kHelloNs});
    // Read now: a rank's hello is often there, and later connections may push this one out.
    if (!Step(connections_.back())) (void)Drop(std::prev(connections_.end()));
  }
}

bool PendingRanks::Step(Connection& connection) {
  connection.channel.Pump();
  if (const auto line = connection.channel.Take()) return Answer(connection, *line);
  return connection.channel.problem().empty() && SteadyNs() <= connection.until_ns;
}

bool PendingRanks::Answer(Connection& connection, const std::string& line) {
  if (!connection.nonces.zero.empty()) {
    connection.facts = FactsOf(token_, connection.nonces, line);
    return connection.facts.has_value();
  }
  const auto nonce = NonceOfHello(token_, line);
  if (!nonce || !used_nonces_.insert(*nonce).second) return false;
  connection.nonces = {*nonce, RandomHex()};
  connection.until_ns = SteadyNs() + kFactsNs;
  connection.channel.set_longest_line(kLongestFacts);
  // Without waiting: the answer is short, and nothing was sent before it.
  return connection.channel.Send(AnswerLine(token_, connection.nonces), 0);
}

void PendingRanks::MakeRoom(const std::string& address) {
  const auto same = std::ranges::count(connections_, address, &Connection::address);
  if (std::cmp_greater_equal(same, most_per_address_)) {
    (void)DropOldest(address);
  } else if (connections_.size() >= most_) {
    (void)DropOldest(std::nullopt);
  }
}

bool PendingRanks::DropOldest(const std::optional<std::string>& address) {
  const auto found = std::ranges::find_if(connections_, [&](const Connection& connection) {
    return connection.nonces.zero.empty() && (!address || connection.address == *address);
  });
  if (found == connections_.end()) return false;
  (void)Drop(found);
  return true;
}

PendingRanks::Iterator PendingRanks::Drop(Iterator at) {
  ++dropped_;
  return connections_.erase(at);
}

}  // namespace dbsp::runtime
