// SPDX-License-Identifier: Apache-2.0
// What a rank or a stranger sends to rank 0. No input may pass for a proof of the token, and the
// facts of a rank that has proved it are read or refused.
#include "runtime/ranks/rank_handshake.h"
#include "tests/fuzz/fuzz_target.h"

DBSP_FUZZ_TARGET() {
  const std::string line(bytes);
  const std::string token(32, '7');
  const dbsp::runtime::Nonces nonces{std::string(32, '1'), std::string(32, '2')};
  if (dbsp::runtime::NonceOfHello(token, line) ||
      dbsp::runtime::NonceOfAnswer(token, nonces.rank, line) ||
      dbsp::runtime::FactsOf(token, nonces, line)) {
    dbsp::fuzz::ReportFault("a line without the token was believed");
  }
  const std::string origin = "rank";
  const dbsp::Json facts = dbsp::ParseJson(bytes, origin, dbsp::runtime::kControlLimits);
  (void)dbsp::runtime::RankProcessFrom(dbsp::JsonView(facts, origin));
}
