// SPDX-License-Identifier: Apache-2.0
// Which rank of how many a launcher (mpirun, srun, torchrun, dbsp itself) says this process is.
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace dbsp::runtime {

struct LauncherRank {
  int rank = 0;
  int size = 1;
  std::string launcher;  ///< "Open MPI", for words
  /// Tells this run from others of the same launcher; "" where the launcher does not say.
  std::string job;
};

/// Looks a variable up; null when it is not set.
using Environment = std::function<const char*(const char* name)>;
[[nodiscard]] const char* FromProcessEnvironment(const char* name);

/// The innermost launcher's word: dbsp's own variables, then Open MPI, PMI (MPICH, Intel MPI),
/// torchrun, and Slurm last, because a job script inherits its variables. A Slurm batch or
/// interactive shell is no step of srun's and starts no ranks. Nothing for a process that was
/// started alone.
/// errors  Error{kInvalidArgument} for a rank without its size, a rank outside it, or no number
[[nodiscard]] std::optional<LauncherRank> FindRankPlace(
    const Environment& environment = FromProcessEnvironment);

/// Variables that dbsp sets for the ranks it starts.
inline constexpr const char* kRankVariable = "DBSP_RANK";
inline constexpr const char* kSizeVariable = "DBSP_SIZE";

}  // namespace dbsp::runtime
