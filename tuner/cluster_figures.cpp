// SPDX-License-Identifier: Apache-2.0
#include "tuner/cluster_figures.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/suggest.h"
#include "tuner/cluster_data.h"

namespace dbsp::tuner {
namespace {

/// One figure of the format. Exactly one of the two members is set.
struct FigureSpec {
  const char* name;
  double ClusterFigures::*number;
  int ClusterFigures::*count;
  double low;
  double high;
};

constexpr std::array<FigureSpec, 12> kFigures{{
    {"peak_tflops", &ClusterFigures::peak_tflops, nullptr, 1e-3, 1e6},
    {"attention_tflops_d128", &ClusterFigures::attention_tflops_d128, nullptr, 1e-3, 1e6},
    {"attention_tflops_d64", &ClusterFigures::attention_tflops_d64, nullptr, 1e-3, 1e6},
    {"multiprocessors", nullptr, &ClusterFigures::multiprocessors, 1, 1e5},
    {"memory_gb_per_s", &ClusterFigures::memory_gb_per_s, nullptr, 1e-3, 1e7},
    {"copy_efficiency", &ClusterFigures::copy_efficiency, nullptr, 0.01, 1},
    {"gpus_per_node", nullptr, &ClusterFigures::gpus_per_node, 1, kMaxClusterGpus},
    {"link_gb_per_s", &ClusterFigures::link_gb_per_s, nullptr, 1e-3, 1e6},
    {"hop_gb_per_s", &ClusterFigures::hop_gb_per_s, nullptr, 1e-3, 1e6},
    {"link_latency_us", &ClusterFigures::link_latency_us, nullptr, 0, 1e6},
    {"network_gb_per_s", &ClusterFigures::network_gb_per_s, nullptr, 1e-3, 1e6},
    {"network_latency_us", &ClusterFigures::network_latency_us, nullptr, 0, 1e6},
}};
constexpr std::string_view kOptionalFigure = "hop_gb_per_s";
constexpr std::string_view kFilePrefix = "file:";
constexpr std::string_view kSuffix = ".json";

std::vector<std::string> NamesOf(const std::vector<KnownCluster>& clusters) {
  std::vector<std::string> names;
  for (const KnownCluster& cluster : clusters) names.push_back(cluster.name);
  return names;
}

const KnownCluster* FindCluster(const std::vector<KnownCluster>& clusters, std::string_view name) {
  const auto found = std::find_if(clusters.begin(), clusters.end(), [&](const KnownCluster& known) {
    return known.name == name;
  });
  return found == clusters.end() ? nullptr : &*found;
}

/// A name can stand in --cluster NAMExNxM: it begins with a letter and does not itself end in
/// numbers after an x, as "minex8" does.
void RequireName(const JsonView& entry, const std::string& name) {
  const bool letters = std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  });
  const std::size_t digits = name.find_last_not_of("0123456789");
  const bool begins =
      !name.empty() && ((name[0] >= 'a' && name[0] <= 'z') || (name[0] >= 'A' && name[0] <= 'Z'));
  const bool sized = digits != std::string::npos && digits + 1 < name.size() && name[digits] == 'x';
  if (!letters || !begins || sized) {
    entry.Wrong(
        "a cluster with a name of letters, digits, '-', '_' and '.', that begins with a letter and "
        "has no size such as x8 at its end");
  }
}

void ReadFigure(const JsonView& entry, const FigureSpec& spec, KnownCluster& cluster) {
  if (!entry.Has(spec.name)) return;
  const JsonView figure = entry[spec.name];
  figure.RefuseOtherKeys({"value", "source"});
  const std::string source = figure["source"].String();
  if (source.empty()) figure["source"].Wrong("the source of the figure");
  if (spec.count != nullptr) {
    cluster.figures.*spec.count = static_cast<int>(figure["value"].Int(
        static_cast<std::int64_t>(spec.low), static_cast<std::int64_t>(spec.high)));
  } else {
    cluster.figures.*spec.number = figure["value"].Number(spec.low, spec.high);
  }
  cluster.sources[spec.name] = source;
}

/// Reads the clusters of one document. Clusters that others extend are read first.
class ClusterReader {
 public:
  ClusterReader(const JsonView& entries, const std::vector<KnownCluster>& built_in)
      : entries_(entries), built_in_(built_in) {}

  std::vector<KnownCluster> Read() {
    for (const auto& [name, value] : entries_.raw().items()) (void)ReadOne(name, 0);
    return std::move(clusters_);
  }

 private:
  KnownCluster ReadOne(const std::string& name, int depth) {
    if (const KnownCluster* known = FindCluster(clusters_, name)) return *known;
    const JsonView entry = entries_[name];
    RequireName(entry, name);
    std::vector<std::string> keys{"extends"};
    for (const FigureSpec& spec : kFigures) keys.emplace_back(spec.name);
    RefuseOtherFigures(entry, keys);
    KnownCluster cluster;
    if (entry.Has("extends")) cluster = Base(entry["extends"], name, depth);
    cluster.name = name;
    for (const FigureSpec& spec : kFigures) ReadFigure(entry, spec, cluster);
    // A new rate of the links is also that of hops, unless the entry says otherwise.
    const std::string hop(kOptionalFigure);
    if (entry.Has("link_gb_per_s") && !entry.Has(hop)) cluster.sources.erase(hop);
    if (!cluster.sources.contains(hop)) {
      cluster.figures.hop_gb_per_s = cluster.figures.link_gb_per_s;
    }
    for (const FigureSpec& spec : kFigures) {
      if (spec.name == kOptionalFigure || cluster.sources.contains(spec.name)) continue;
      entry.Wrong(
          fmt::format("the figure '{}', or 'extends' with a cluster that has it", spec.name));
    }
    clusters_.push_back(cluster);
    return cluster;
  }

  KnownCluster Base(const JsonView& extends, const std::string& name, int depth) {
    const std::string base = extends.String();
    const bool own = base != name && entries_.Has(base);
    if (own && depth >= static_cast<int>(entries_.raw().size())) {
      extends.Wrong("a cluster that does not extend itself through others");
    }
    if (own) return ReadOne(base, depth + 1);
    const KnownCluster* known = FindCluster(built_in_, base);
    if (known == nullptr) {
      std::vector<std::string> names = NamesOf(built_in_);
      for (const auto& [other, value] : entries_.raw().items()) {
        if (other != name) names.push_back(other);
      }
      extends.Wrong("the name of a cluster, but " + UnknownName("cluster", base, names));
    }
    return *known;
  }

  static void RefuseOtherFigures(const JsonView& entry, const std::vector<std::string>& keys) {
    if (!entry.raw().is_object()) entry.Wrong("an object with figures");
    for (const auto& [key, value] : entry.raw().items()) {
      if (std::find(keys.begin(), keys.end(), key) != keys.end()) continue;
      entry[key].Wrong("no such figure; " + UnknownName("figure", key, keys));
    }
  }

  JsonView entries_;
  const std::vector<KnownCluster>& built_in_;
  std::vector<KnownCluster> clusters_;
};

std::vector<KnownCluster> Read(std::string_view text,
                               const std::string& origin,
                               const std::vector<KnownCluster>& built_in) {
  const Json document = ParseJson(text, origin);
  const JsonView view(document, origin);
  view.RequireSchema("dbsp.clusters/1");
  view.RefuseOtherKeys({"schema", "clusters"});
  const JsonView entries = view["clusters"];
  if (!entries.raw().is_object() || entries.raw().empty()) {
    entries.Wrong("an object with at least one cluster");
  }
  return ClusterReader(entries, built_in).Read();
}

/// NAME, NAMExM or NAMExNxM.
struct SizedName {
  std::string name;
  std::vector<int> sizes;
};

/// Takes up to two numbers after an x from the end. A name cannot end like that (RequireName).
SizedName SplitSizes(std::string_view text) {
  SizedName out;
  while (out.sizes.size() < 2) {
    const std::size_t cross = text.rfind('x');
    if (cross == std::string_view::npos) break;
    const std::string_view digits = text.substr(cross + 1);
    int size = 0;
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), size);
    if (digits.empty() || parsed.ec != std::errc() || parsed.ptr != digits.data() + digits.size()) {
      break;
    }
    out.sizes.insert(out.sizes.begin(), size);
    text = text.substr(0, cross);
  }
  out.name = text;
  return out;
}

[[noreturn]] void FailSize(std::string_view text, const std::string& reason) {
  Fail(ErrorCode::kInvalidArgument,
       "--cluster {}: {}; a cluster is NAMExGPUS or NAMExNODESxGPUS, with GPUS per node",
       text,
       reason);
}

/// Sets nodes and GPUs per node.
void SetSize(std::string_view text, const std::vector<int>& sizes, int ranks, Cluster& cluster) {
  const int full = cluster.figures.gpus_per_node;
  for (const int size : sizes) {
    if (size < 1 || size > kMaxClusterGpus) {
      FailSize(text, fmt::format("{} is not a number from 1 to {}", size, kMaxClusterGpus));
    }
  }
  const int gpus = sizes.empty() ? std::max(ranks, 1) : sizes.back();
  if (sizes.size() == 2) {
    cluster.nodes = sizes.front();
    cluster.gpus_per_node = gpus;
  } else if (sizes.empty()) {
    cluster.nodes = ranks == 0 ? 1 : (gpus + full - 1) / full;
    cluster.gpus_per_node = full;
  } else if (gpus <= full) {
    cluster.gpus_per_node = gpus;
  } else if (gpus % full == 0) {
    cluster.nodes = gpus / full;
    cluster.gpus_per_node = full;
  } else {
    FailSize(
        text,
        fmt::format("{} GPUs are not a multiple of the {} of a node; say how many nodes of how "
                    "many GPUs, such as {}x{}x{}",
                    gpus,
                    full,
                    cluster.gpu,
                    (gpus + full - 1) / full,
                    full));
  }
  if (cluster.gpus_per_node > full) {
    FailSize(text,
             fmt::format("{} GPUs on a node, expected at most {}", cluster.gpus_per_node, full));
  }
  // A bare NAME of large nodes has more GPUs than are planned for.
  if (cluster.nodes > 1 && cluster.gpus() > kMaxClusterGpus &&
      (!sizes.empty() || ranks > kMaxClusterGpus)) {
    FailSize(text, fmt::format("{} GPUs, expected at most {}", cluster.gpus(), kMaxClusterGpus));
  }
}

struct FileReference {
  std::filesystem::path path;
  std::string name;  ///< with sizes; "" if the text has none
};

std::optional<FileReference> ParseFileReference(std::string_view text) {
  if (!text.starts_with(kFilePrefix)) return std::nullopt;
  const std::string_view rest = text.substr(kFilePrefix.size());
  const std::size_t end = rest.rfind(std::string(kSuffix) + ":");
  if (end == std::string_view::npos) return FileReference{rest, ""};
  return FileReference{rest.substr(0, end + kSuffix.size()),
                       std::string(rest.substr(end + kSuffix.size() + 1))};
}

}  // namespace

std::vector<KnownCluster> ReadClusters(std::string_view text, const std::string& origin) {
  return Read(text, origin, BuiltInClusters());
}

std::string_view BuiltInClusterText() { return kClusterData; }

const std::vector<KnownCluster>& BuiltInClusters() {
  static const std::vector<KnownCluster> clusters = Read(kClusterData, "tuner/clusters.json", {});
  return clusters;
}

std::filesystem::path ClusterFileOf(std::string_view text) {
  const std::optional<FileReference> file = ParseFileReference(text);
  return file ? file->path : std::filesystem::path();
}

Cluster ParseCluster(std::string_view text, int ranks) {
  const std::optional<FileReference> file = ParseFileReference(text);
  std::string hash;
  std::vector<KnownCluster> own;
  if (file) {
    if (file->path.empty()) {
      Fail(ErrorCode::kInvalidArgument,
           "--cluster {}: no file; expected file:PATH.json or file:PATH.json:NAME",
           text);
    }
    const std::string content = ReadFile(file->path, kMaxTextBytes);
    hash = HashBytes(content).substr(0, 8);
    own = ReadClusters(content, file->path.string());
  }
  const std::vector<KnownCluster>& known = file ? own : BuiltInClusters();
  SizedName sized = SplitSizes(file ? std::string_view(file->name) : text);
  if (file && file->name.empty()) {
    if (known.size() > 1) {
      Fail(ErrorCode::kInvalidArgument,
           "--cluster {}: the file has {} clusters; name one, such as {}:{}",
           text,
           known.size(),
           text,
           known.front().name);
    }
    sized.name = known.front().name;
  }
  const KnownCluster* found = FindCluster(known, sized.name);
  if (found == nullptr) {
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("--cluster {}: {}; a cluster is NAME, NAMExGPUS, NAMExNODESxGPUS or "
                            "file:PATH.json",
                            text,
                            UnknownName("cluster", sized.name, NamesOf(known))));
  }
  Cluster cluster;
  cluster.gpu = found->name;
  cluster.figures = found->figures;
  if (file) cluster.file = file->path;
  SetSize(text, sized.sizes, ranks, cluster);
  cluster.name = cluster.nodes == 1
                     ? fmt::format("{}x{}", cluster.gpu, cluster.gpus_per_node)
                     : fmt::format("{}x{}x{}", cluster.gpu, cluster.nodes, cluster.gpus_per_node);
  if (file) cluster.name += "@" + hash;
  return cluster;
}

}  // namespace dbsp::tuner
