// SPDX-License-Identifier: Apache-2.0
// The lines with which a rank and rank 0 prove to each other that they know the token. Internal to
// runtime/.
//
//   rank    dbsp.ranks/2 NONCE PROOF      hello
//   rank 0  NONCE PROOF                   answer, only to a right hello
//   rank    PROOF FACTS                   FACTS: {"rank", "size", "host", "host_id", "pid",
//   "build"} rank 0  {"joined": true} or {"refused": why}; {"ranks": [...]} when all ranks have
//   joined
//
// A program without the token learns nothing: rank 0 closes its connection and sends no byte.
#pragma once

#include <optional>
#include <string>

#include "core/json.h"
#include "runtime/ranks/group_options.h"
#include "runtime/ranks/line_channel.h"

namespace dbsp::runtime {

/// Name and version of the messages between ranks. Ranks of different versions do not meet.
inline constexpr const char* kRanksProtocol = "dbsp.ranks/2";

/// Longest lines in bytes. Before the hello is right, nothing longer is read.
inline constexpr std::size_t kLongestHello = 128;
inline constexpr std::size_t kLongestFacts = 4096;

/// Bounds of a message between ranks that know the token. A list of all ranks is the largest.
inline constexpr JsonLimits kControlLimits{
    .max_bytes = kLongestLine, .max_depth = 8, .max_values = std::size_t{1} << 21U};

/// The token of a run with a rendezvous file: the file's, and the given one if there is one.
[[nodiscard]] std::string FileToken(const std::string& from_file, const std::string& given);

struct Nonces {
  std::string rank;
  std::string zero;
};

[[nodiscard]] std::string HelloLine(const std::string& token, const std::string& rank_nonce);
/// The rank's nonce; nothing when the line is no hello with this token.
[[nodiscard]] std::optional<std::string> NonceOfHello(const std::string& token,
                                                      const std::string& line);

[[nodiscard]] std::string AnswerLine(const std::string& token, const Nonces& nonces);
/// Rank 0's nonce; nothing when the line does not answer the hello with this token.
[[nodiscard]] std::optional<std::string> NonceOfAnswer(const std::string& token,
                                                       const std::string& rank_nonce,
                                                       const std::string& line);

[[nodiscard]] std::string FactsLine(const std::string& token,
                                    const Nonces& nonces,
                                    const std::string& facts);
/// The facts; nothing when the line does not prove them with this token.
[[nodiscard]] std::optional<std::string> FactsOf(const std::string& token,
                                                 const Nonces& nonces,
                                                 const std::string& line);

/// "rank 3 (gpu7, pid 4711)"
[[nodiscard]] std::string NameOf(const RankProcess& process);
[[nodiscard]] RankProcess ThisProcess(const GroupOptions& options);
[[nodiscard]] Json ToJson(const RankProcess& process);
/// errors  Error{kCorruptInput}
[[nodiscard]] RankProcess RankProcessFrom(const JsonView& view);

}  // namespace dbsp::runtime
