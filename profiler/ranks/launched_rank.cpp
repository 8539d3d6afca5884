// SPDX-License-Identifier: Apache-2.0
#include "profiler/ranks/launched_rank.h"

#include <fmt/format.h>

#include <cstdlib>
#include <map>
#include <utility>

#include "core/cli.h"
#include "core/error.h"
#include "profiler/ranks/exchange_follower.h"
#include "profiler/ranks/exchange_messages.h"
#include "runtime/clock.h"
#include "runtime/ranks/proof.h"
#include "runtime/ranks/run_token.h"

namespace dbsp::profiler {
namespace {

constexpr const char* kRendezvousVariable = "DBSP_RENDEZVOUS";
/// How long the started processes may take to end, normally and after the loss of a rank.
constexpr std::int64_t kEndNs = 5'000'000'000;
constexpr std::int64_t kEndAfterLossNs = 200'000'000;

std::optional<std::string> Variable(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == '\0') return std::nullopt;
  return text;
}

/// "dbsp 0.1.0 commit 0123abcd-dirty", the first line of --version.
std::string Build() {
  const std::string text = VersionText("dbsp");
  return text.substr(0, text.find('\n'));
}

/// A rendezvous file beside the database, with the job in its name so that runs do not share it.
std::string RendezvousFile(const std::string& database, const std::optional<std::string>& job) {
  std::string name = job.value_or("");
  for (char& c : name) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!plain && c != '.' && c != '-') c = '_';
  }
  return fmt::format("{}.ranks{}{}", database, name.empty() ? "" : "-", name);
}

runtime::Rendezvous RendezvousOf(const RankRunOptions& options,
                                 const runtime::LauncherRank& launched) {
  if (const auto own = Variable(kRendezvousVariable)) return runtime::ParseRendezvous(*own);
  if (options.rendezvous) return runtime::ParseRendezvous(*options.rendezvous);
  const auto host = Variable("MASTER_ADDR");
  const auto port = Variable("MASTER_PORT");
  // torchrun's agent listens on this port, unless it is configured not to.
  const bool taken = Variable("TORCHELASTIC_USE_AGENT_STORE") == "True";
  if (host && port && !taken) {
    return runtime::ParseRendezvous(fmt::format("{}:{}", *host, *port));
  }
  if (!options.database) {
    Fail(ErrorCode::kInvalidArgument,
         "{} started {} ranks without a rendezvous: give --rendezvous host:port, or --rendezvous "
         "file:PATH in a folder that all ranks can read",
         launched.launcher,
         launched.size);
  }
  return {.path = RendezvousFile(*options.database, launched.job)};
}

/// Prints where rank 0 listens.
std::function<void(const std::string&)> PrintWith(const std::string& note) {
  return [note](const std::string& where) {
    Progress(fmt::format("rank 0 listens on {}; {}", where, note));
  };
}

/// Sets the token, and the line that says where rank 0 listens and whom the token excludes.
void SetToken(runtime::GroupOptions& group, const runtime::LauncherRank& launched) {
  std::string note = "only programs that read the rendezvous file can join";
  if (group.rendezvous.path) {
    group.token = runtime::GivenToken();
  } else {
    const runtime::RunToken token = runtime::TokenOfRun(launched);
    group.token = token.text;
    note = token.secret
               ? "only programs that know the run's token can join"
               : fmt::format(
                     "{} shares no secret with its ranks, so the token excludes other runs "
                     "but no attacker; for that, set {} to one random text on all ranks, "
                     "or use --rendezvous file:PATH",
                     launched.launcher,
                     runtime::kTokenVariable);
  }
  group.listening = PrintWith(note);
}

}  // namespace

std::unique_ptr<LaunchedRank> LaunchedRank::Start(RankRunOptions options) {
  const auto found = runtime::FindLauncherRank();
  const bool own =
      found && found->launcher == "dbsp";  // rank 0 of --processes started this process
  const bool launched = found && (found->size > 1 || own);
  if (!options.start && !launched) return nullptr;
  if (options.start && launched && !own) {
    Fail(ErrorCode::kInvalidArgument,
         "--processes starts the ranks itself, but {} already started {} ranks: use only one of "
         "the two",
         found->launcher,
         found->size);
  }
  if (launched && !own && options.ranks_given && options.ranks != found->size) {
    Fail(ErrorCode::kInvalidArgument,
         "--ranks {}: {} started {} ranks; leave out --ranks",
         options.ranks,
         found->launcher,
         found->size);
  }
  if (options.one_gpu) {
    // NCCL refuses two ranks on one GPU of one host. With different host ids NCCL takes the ranks
    // for different hosts and connects them through sockets.
    const int rank = launched ? found->rank : 0;
    ::setenv("NCCL_HOSTID", fmt::format("dbsp-rank-{}", rank).c_str(), 1);
    ::setenv("NCCL_SOCKET_IFNAME", "lo", 0);
  }
  std::unique_ptr<LaunchedRank> run(new LaunchedRank(std::move(options)));
  runtime::GroupOptions group;
  group.rank = launched ? found->rank : 0;
  group.size = launched ? found->size : run->options_.ranks;
  group.build = Build();
  group.check = CheckMessage;
  group.deadline_ns = run->options_.deadline_ns;
  group.interrupted = run->options_.interrupted;
  if (launched) {
    if (!own) run->launcher_ = found->launcher;
    group.rendezvous = RendezvousOf(run->options_, *found);
    group.one_host = found->one_host;
    SetToken(group, *found);
    // Programs that this process starts do not need the token.
    ::unsetenv(runtime::kTokenVariable);
  } else {
    run->StartOthers(group);
  }
  LaunchedRank* raw = run.get();
  group.ended = [raw](int rank) -> std::optional<std::string> {
    const auto index = static_cast<std::size_t>(rank - 1);
    return index < raw->others_.size() ? raw->others_[index].Ended() : std::nullopt;
  };
  run->group_ = runtime::ProcessGroup::Join(std::move(group));
  return run;
}

void LaunchedRank::StartOthers(runtime::GroupOptions& group) {
  if (group.size < 2) {
    Fail(ErrorCode::kInvalidArgument, "--processes: expected --ranks of 2 or more");
  }
  // The listener is open, on a free port, before the other ranks learn of it.
  group.listener = runtime::Listener::Open("127.0.0.1", 0, true);
  group.one_host = true;
  // The environment of a process can be read by its user only; its arguments by everyone.
  group.token = runtime::RandomHex();
  group.rendezvous = {.host = "127.0.0.1", .port = group.listener.port()};
  group.listening = PrintWith("only the processes that it starts can join");
  for (int rank = 1; rank < group.size; ++rank) {
    others_.push_back(runtime::ChildProcess::Start(
        {.argv = options_.argv,
         .variables = {{runtime::kRankVariable, std::to_string(rank)},
                       {runtime::kSizeVariable, std::to_string(group.size)},
                       {kRendezvousVariable, runtime::Describe(group.rendezvous)},
                       {runtime::kTokenVariable, group.token}}}));
  }
}

LaunchedRank::~LaunchedRank() {
  if (leader_) leader_->End();
  leader_.reset();
  const bool whole = group_ && !group_->broken();
  group_.reset();
  const std::int64_t end = runtime::SteadyNs() + (whole ? kEndNs : kEndAfterLossNs);
  for (runtime::ChildProcess& other : others_) (void)other.WaitFor(end - runtime::SteadyNs());
}

int LaunchedRank::Device(const NcclWorld& world) const {
  return options_.one_gpu ? 0 : DeviceOfRank(*group_, world.devices);
}

std::shared_ptr<const NcclWorld> LaunchedRank::Lead(const NcclWorld& world) {
  leader_ = std::make_shared<ExchangeLeader>(*group_, world, Device(world), options_.interrupted);
  auto leading = std::make_shared<NcclWorld>(world);
  leading->processes = leader_;
  return leading;
}

void LaunchedRank::Follow(const NcclWorld& world) {
  FollowRankZero(*group_, world, Device(world), options_.interrupted);
}

void LaunchedRank::Describe(Provenance& machine) const {
  std::map<int, std::pair<std::string, int>> nodes;
  for (const runtime::RankProcess& process : group_->ranks()) {
    nodes[process.node].first = process.host;
    ++nodes[process.node].second;
  }
  std::string text = fmt::format(
      "{} processes on {} {}:", size(), nodes.size(), nodes.size() == 1 ? "host" : "hosts");
  for (const auto& [node, host] : nodes) text += fmt::format(" {} {}", host.first, host.second);
  machine.extra["ranks"] = text;
  machine.extra["launcher"] = launcher_;
}

}  // namespace dbsp::profiler
