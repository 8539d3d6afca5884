// SPDX-License-Identifier: Apache-2.0
#include "profiler/ranks/launched_rank.h"

#include <fmt/format.h>

#include <cstdlib>
#include <map>
#include <utility>

#include "core/cli.h"
#include "core/error.h"
#include "runtime/clock.h"

namespace dbsp::profiler {
namespace {

constexpr const char* kRendezvousVariable = "DBSP_RENDEZVOUS";
constexpr const char* kTokenVariable = "DBSP_RENDEZVOUS_TOKEN";
/// For processes that were let go, and for those of a run that has lost one.
constexpr std::int64_t kUntilEndedNs = 5'000'000'000;
constexpr std::int64_t kUntilEndedAfterLossNs = 200'000'000;

std::string Variable(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? "" : text;
}

/// "dbsp 0.1.0 commit 0123abcd-dirty", the first line of --version.
std::string Build() {
  const std::string text = VersionText("dbsp");
  return text.substr(0, text.find('\n'));
}

/// A file name that ranks of one run have in common and others do not.
std::string FileOf(const std::string& database, const std::string& job) {
  std::string name = job;
  for (char& c : name) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!plain && c != '.' && c != '-') c = '_';
  }
  return fmt::format("{}.ranks{}{}", database, name.empty() ? "" : "-", name);
}

runtime::Rendezvous RendezvousOf(const RankRunOptions& options,
                                 const runtime::LauncherRank& place) {
  const std::string own = Variable(kRendezvousVariable);
  if (!own.empty()) return runtime::ParseRendezvous(own);
  if (!options.rendezvous.empty()) return runtime::ParseRendezvous(options.rendezvous);
  const std::string host = Variable("MASTER_ADDR");
  const std::string port = Variable("MASTER_PORT");
  // torchrun's own agent listens there, unless it is told not to.
  const bool taken = Variable("TORCHELASTIC_USE_AGENT_STORE") == "True";
  if (!host.empty() && !port.empty() && !taken) {
    return runtime::ParseRendezvous(fmt::format("{}:{}", host, port));
  }
  if (options.database.empty()) {
    Fail(ErrorCode::kInvalidArgument,
         "{} started {} ranks, which meet nowhere: say --rendezvous host:port, or --rendezvous "
         "file:PATH in a folder that all see",
         place.launcher,
         place.size);
  }
  return {.host = "", .port = 0, .path = FileOf(options.database, place.job)};
}

}  // namespace

std::unique_ptr<LaunchedRank> LaunchedRank::Start(RankRunOptions options) {
  const auto place = runtime::FindRankPlace();
  const bool own = place && place->launcher == "dbsp";
  const bool launched = place && (place->size > 1 || own);
  if (!options.start && !launched) return nullptr;
  if (options.start && launched && !own) {
    Fail(ErrorCode::kInvalidArgument,
         "--processes starts the ranks itself, and {} has started {}: leave one of them out",
         place->launcher,
         place->size);
  }
  if (launched && !own && options.ranks_given && options.ranks != place->size) {
    Fail(ErrorCode::kInvalidArgument,
         "--ranks {}: {} started {} ranks; leave --ranks out",
         options.ranks,
         place->launcher,
         place->size);
  }
  if (options.one_gpu) {
    // NCCL refuses two ranks of one host on one GPU. Ranks with ids of their own are on hosts of
    // their own to it, and speak through sockets.
    const int rank = launched ? place->rank : 0;
    ::setenv("NCCL_HOSTID", fmt::format("dbsp-rank-{}", rank).c_str(), 1);
    ::setenv("NCCL_SOCKET_IFNAME", "lo", 0);
  }
  std::unique_ptr<LaunchedRank> run(new LaunchedRank(std::move(options)));
  runtime::GroupOptions group;
  group.rank = launched ? place->rank : 0;
  group.size = launched ? place->size : run->options_.ranks;
  group.build = Build();
  group.token = Variable(kTokenVariable);
  group.deadline_ns = run->options_.deadline_ns;
  group.interrupted = run->options_.interrupted;
  if (launched) {
    if (!own) run->launcher_ = place->launcher;
    group.rendezvous = RendezvousOf(run->options_, *place);
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
  // Listening before anyone is told of it, on a port that is free.
  group.listener = runtime::Listen(runtime::ListenOn::kThisHost, 0);
  group.token = runtime::MakeToken();
  group.rendezvous = {.host = "127.0.0.1", .port = runtime::PortOf(group.listener), .path = ""};
  for (int rank = 1; rank < group.size; ++rank) {
    others_.push_back(runtime::ChildProcess::Start(
        {.argv = options_.argv,
         .variables = {{runtime::kRankVariable, std::to_string(rank)},
                       {runtime::kSizeVariable, std::to_string(group.size)},
                       {kRendezvousVariable, runtime::Describe(group.rendezvous)},
                       {kTokenVariable, group.token}}}));
  }
}

LaunchedRank::~LaunchedRank() {
  if (leader_) leader_->End();
  leader_.reset();
  const bool whole = group_ && !group_->broken();
  group_.reset();
  const std::int64_t end = runtime::SteadyNs() + (whole ? kUntilEndedNs : kUntilEndedAfterLossNs);
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
