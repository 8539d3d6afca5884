// SPDX-License-Identifier: Apache-2.0
#include "runtime/ranks/launcher_rank.h"

#include <array>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "core/error.h"

namespace dbsp::runtime {
namespace {

struct Launcher {
  const char* name;
  const char* rank;
  std::array<const char*, 2> size;  ///< the first one that is set counts
  std::array<const char*, 2> job;  ///< the values of those that are set, joined by "."
  const char* ranks_here;  ///< number of ranks on this host; null without such a variable
};

// Open MPI: OMPI_COMM_WORLD_* (mpirun(1)); PMIx: PMIX_NAMESPACE. PMI: PMI_RANK, PMI_SIZE (Hydra).
// torchrun: RANK, WORLD_SIZE, TORCHELASTIC_RUN_ID (its documentation). Slurm: srun(1), "OUTPUT
// ENVIRONMENT VARIABLES". MPI_LOCALNRANKS is Hydra's.
constexpr Launcher kSlurm{"Slurm",
                          "SLURM_PROCID",
                          {"SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"},
                          {"SLURM_JOB_ID", "SLURM_STEP_ID"},
                          nullptr};
constexpr std::array<Launcher, 4> kOthers{{
    {"dbsp", kRankVariable, {kSizeVariable, nullptr}, {nullptr, nullptr}, kSizeVariable},
    {"Open MPI",
     "OMPI_COMM_WORLD_RANK",
     {"OMPI_COMM_WORLD_SIZE", nullptr},
     {"PMIX_NAMESPACE", nullptr},
     "OMPI_COMM_WORLD_LOCAL_SIZE"},
    {"PMI", "PMI_RANK", {"PMI_SIZE", nullptr}, {"PMI_JOBID", "SLURM_JOB_ID"}, "MPI_LOCALNRANKS"},
    {"torchrun",
     "RANK",
     {"WORLD_SIZE", nullptr},
     {"TORCHELASTIC_RUN_ID", nullptr},
     "LOCAL_WORLD_SIZE"},
}};

std::int64_t Number(const char* name, const char* text) {
  std::int64_t value = -1;
  const char* end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, value);
  if (error != std::errc() || stop != end || value < 0 || value > 0xffffffff) {
    Fail(ErrorCode::kInvalidArgument, "{}='{}': expected a number of ranks", name, text);
  }
  return value;
}

/// False also where the launcher does not say it.
bool OnOneHost(const Launcher& launcher, std::int64_t size, const Environment& environment) {
  const auto equals = [&](const char* name, std::int64_t number) {
    const char* text = name == nullptr ? nullptr : environment(name);
    return text != nullptr && text == std::to_string(number);
  };
  return equals(launcher.ranks_here, size) ||
         (launcher.rank == kSlurm.rank && equals("SLURM_STEP_NUM_NODES", 1));
}

LauncherRank ReadLauncherRank(const Launcher& launcher, const Environment& environment) {
  const char* size_name = launcher.size[0];
  if (environment(size_name) == nullptr && launcher.size[1] != nullptr)
    size_name = launcher.size[1];
  const char* rank_text = environment(launcher.rank);
  const char* size_text = environment(size_name);
  if (size_text == nullptr) {
    Fail(ErrorCode::kInvalidArgument,
         "{}={} without {}: start dbsp under a launcher that sets both, or unset it",
         launcher.rank,
         rank_text,
         size_name);
  }
  const std::int64_t rank = Number(launcher.rank, rank_text);
  const std::int64_t size = Number(size_name, size_text);
  if (rank >= size || size > 65536) {
    Fail(ErrorCode::kInvalidArgument,
         "{}={} of {}={}: expected a rank below the number of ranks",
         launcher.rank,
         rank,
         size_name,
         size);
  }
  LauncherRank result{.rank = static_cast<int>(rank),
                      .size = static_cast<int>(size),
                      .launcher = launcher.name,
                      .one_host = OnOneHost(launcher, size, environment)};
  for (const char* name : launcher.job) {
    const char* text = name == nullptr ? nullptr : environment(name);
    if (text != nullptr) result.job = result.job ? *result.job + "." + text : text;
  }
  return result;
}

/// srun numbers its steps below SLURM_MAX_NORMAL_STEP_ID (slurm.h). Batch scripts and interactive
/// shells have step ids above it.
bool InsideSlurmStep(const Environment& environment) {
  constexpr std::int64_t kMostSteps = 0xfffffff0;
  const char* step = environment("SLURM_STEP_ID");
  return step != nullptr && Number("SLURM_STEP_ID", step) < kMostSteps;
}

}  // namespace

const char* FromProcessEnvironment(const char* name) { return std::getenv(name); }

std::optional<LauncherRank> FindLauncherRank(const Environment& environment) {
  for (const Launcher& launcher : kOthers) {
    if (environment(launcher.rank) == nullptr) continue;
    // RANK alone may be another program's variable; torchrun also sets WORLD_SIZE.
    const bool common_name = std::strcmp(launcher.rank, "RANK") == 0;
    if (common_name && environment(launcher.size[0]) == nullptr) continue;
    return ReadLauncherRank(launcher, environment);
  }
  if (environment(kSlurm.rank) != nullptr && InsideSlurmStep(environment)) {
    return ReadLauncherRank(kSlurm, environment);
  }
  return std::nullopt;
}

}  // namespace dbsp::runtime
