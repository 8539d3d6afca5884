// SPDX-License-Identifier: Apache-2.0
// The token of a run that a launcher started, for a rendezvous without a file.
#pragma once

#include <string>

#include "runtime/ranks/launcher_rank.h"

namespace dbsp::runtime {

/// The user's or --processes' token. At least kShortestToken characters.
inline constexpr const char* kTokenVariable = "DBSP_RENDEZVOUS_TOKEN";
inline constexpr std::size_t kShortestToken = 16;

struct RunToken {
  std::string text;  ///< never empty; never printed
  /// Whether a stranger cannot know the token. A token without a secret excludes other runs, but no
  /// program that knows the launcher's job.
  bool secret = false;
};

/// kTokenVariable; else the random key that Open MPI 4 gives the processes of one mpirun; else the
/// launcher's job, which is no secret.
/// errors  as GivenToken
[[nodiscard]] RunToken TokenOfRun(const LauncherRank& launched,
                                  const Environment& environment = FromProcessEnvironment);

/// The value of kTokenVariable; "" when it is not set.
/// errors  Error{kInvalidArgument} when it is set and shorter than kShortestToken
[[nodiscard]] std::string GivenToken(const Environment& environment = FromProcessEnvironment);

}  // namespace dbsp::runtime
