// SPDX-License-Identifier: Apache-2.0
#include "runtime/ranks/rank_handshake.h"

#include <fmt/format.h>
#include <unistd.h>

#include <limits>
#include <string_view>

#include "runtime/host.h"
#include "runtime/ranks/proof.h"

namespace dbsp::runtime {
namespace {

constexpr std::size_t kLongestName = 256;

std::string HelloProof(const std::string& token, std::string_view nonce) {
  return Proof(token, {kRanksProtocol, "hello", nonce});
}

std::string AnswerProof(const std::string& token, std::string_view rank, std::string_view zero) {
  return Proof(token, {kRanksProtocol, "answer", rank, zero});
}

std::string FactsProof(const std::string& token, const Nonces& nonces, std::string_view facts) {
  return Proof(token, {kRanksProtocol, "facts", nonces.rank, nonces.zero, facts});
}

struct NonceAndProof {
  std::string_view nonce;
  std::string_view proof;
};

std::optional<NonceAndProof> SplitNonceAndProof(std::string_view text) {
  if (text.size() != kNonceCharacters + 1 + kProofCharacters || text[kNonceCharacters] != ' ') {
    return std::nullopt;
  }
  const NonceAndProof parts{text.substr(0, kNonceCharacters), text.substr(kNonceCharacters + 1)};
  if (!IsHex(parts.nonce, kNonceCharacters)) return std::nullopt;
  return parts;
}

std::string NameFrom(const JsonView& view) {
  std::string name = view.String();
  if (name.size() > kLongestName) view.Wrong(fmt::format("at most {} bytes", kLongestName));
  return name;
}

}  // namespace

std::string FileToken(const std::string& from_file, const std::string& given) {
  return given.empty() ? from_file : from_file + " " + given;
}

std::string HelloLine(const std::string& token, const std::string& rank_nonce) {
  return fmt::format("{} {} {}", kRanksProtocol, rank_nonce, HelloProof(token, rank_nonce));
}

std::optional<std::string> NonceOfHello(const std::string& token, const std::string& line) {
  const std::string begin = std::string(kRanksProtocol) + " ";
  if (!line.starts_with(begin)) return std::nullopt;
  const auto parts = SplitNonceAndProof(std::string_view(line).substr(begin.size()));
  if (!parts || !SameSecret(parts->proof, HelloProof(token, parts->nonce))) return std::nullopt;
  return std::string(parts->nonce);
}

std::string AnswerLine(const std::string& token, const Nonces& nonces) {
  return nonces.zero + " " + AnswerProof(token, nonces.rank, nonces.zero);
}

std::optional<std::string> NonceOfAnswer(const std::string& token,
                                         const std::string& rank_nonce,
                                         const std::string& line) {
  const auto parts = SplitNonceAndProof(line);
  if (!parts || !SameSecret(parts->proof, AnswerProof(token, rank_nonce, parts->nonce))) {
    return std::nullopt;
  }
  return std::string(parts->nonce);
}

std::string FactsLine(const std::string& token, const Nonces& nonces, const std::string& facts) {
  return FactsProof(token, nonces, facts) + " " + facts;
}

std::optional<std::string> FactsOf(const std::string& token,
                                   const Nonces& nonces,
                                   const std::string& line) {
  if (line.size() <= kProofCharacters || line[kProofCharacters] != ' ') return std::nullopt;
  const std::string_view text = line;
  const std::string_view facts = text.substr(kProofCharacters + 1);
  if (!SameSecret(text.substr(0, kProofCharacters), FactsProof(token, nonces, facts))) {
    return std::nullopt;
  }
  return std::string(facts);
}

std::string NameOf(const RankProcess& process) {
  return fmt::format("rank {} ({}, pid {})", process.rank, process.host, process.pid);
}

RankProcess ThisProcess(const GroupOptions& options) {
  return {.rank = options.rank, .host = HostName(), .host_id = HostId(), .pid = ::getpid()};
}

Json ToJson(const RankProcess& process) {
  return {{"rank", process.rank},
          {"host", process.host},
          {"host_id", process.host_id},
          {"pid", process.pid}};
}

RankProcess RankProcessFrom(const JsonView& view) {
  RankProcess process;
  process.rank = static_cast<int>(view["rank"].Int(0, kMostRanks - 1));
  process.host = NameFrom(view["host"]);
  process.host_id = NameFrom(view["host_id"]);
  process.pid = static_cast<int>(view["pid"].Int(0, std::numeric_limits<int>::max()));
  return process;
}

}  // namespace dbsp::runtime
