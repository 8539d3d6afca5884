// SPDX-License-Identifier: Apache-2.0
// Rank and number of ranks that a launcher (mpirun, srun, torchrun, dbsp itself) gave this process.
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace dbsp::runtime {

struct LauncherRank {
  int rank = 0;
  int size = 1;
  std::string launcher = {};  ///< "Open MPI", for messages
  /// Identifies this run among the launcher's runs; nothing when the launcher sets no such
  /// variable.
  std::optional<std::string> job = {};
  /// Whether the launcher says that all ranks are on this host.
  bool one_host = false;
};

/// Returns a variable's value; null when it is not set.
using Environment = std::function<const char*(const char* name)>;
[[nodiscard]] const char* FromProcessEnvironment(const char* name);

/// Reads the variables of the innermost launcher: dbsp itself, then Open MPI, PMI (MPICH, Intel
/// MPI), torchrun, and Slurm last, because a job script inherits Slurm's variables. Variables of a
/// Slurm batch script or interactive shell are ignored: it is no srun step. Returns nothing for a
/// process that no launcher started.
/// errors  Error{kInvalidArgument} when the rank or the number of ranks is missing, not a number or
///         out of range
[[nodiscard]] std::optional<LauncherRank> FindLauncherRank(
    const Environment& environment = FromProcessEnvironment);

/// Variables that dbsp sets for the rank processes it starts.
inline constexpr const char* kRankVariable = "DBSP_RANK";
inline constexpr const char* kSizeVariable = "DBSP_SIZE";

}  // namespace dbsp::runtime
