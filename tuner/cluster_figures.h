// SPDX-License-Identifier: Apache-2.0
// Published figures of clusters: GPUs, the links inside a node and the network between nodes. They
// are in tuner/clusters.json, each with its source, and in files of the same form that a user
// gives. Format: docs/formats/clusters.md ("dbsp.clusters/1").
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace dbsp::tuner {

/// Figures of one GPU, its links and its nodes. Rates are one way and per GPU.
struct ClusterFigures {
  double peak_tflops = 0;  ///< dense bf16
  double attention_tflops_d128 = 0;  ///< block-sparse attention at 128 x 128 blocks
  double attention_tflops_d64 = 0;
  int multiprocessors = 0;
  double memory_gb_per_s = 0;
  double copy_efficiency = 0;  ///< share of memory_gb_per_s that copies reach
  int gpus_per_node = 0;  ///< GPUs that share the fast links
  double link_gb_per_s = 0;  ///< all-to-all inside a node, as reached by NCCL
  double hop_gb_per_s = 0;  ///< ring hop inside a node; link_gb_per_s if the file has no figure
  double link_latency_us = 0;
  double network_gb_per_s = 0;  ///< between nodes, of one GPU
  double network_latency_us = 0;
};

/// A cluster of a file, with the source of every figure.
struct KnownCluster {
  std::string name;  ///< "h200"
  ClusterFigures figures;
  std::map<std::string, std::string> sources;  ///< figure -> source
};

/// Clusters of a text of format dbsp.clusters/1, by name. `extends` names a cluster of the same
/// text or a built-in one.
/// errors  Error{kCorruptInput} naming `origin` and the key, for an unknown or missing figure, a
///         figure without a source, a value out of range and an `extends` that leads to itself
[[nodiscard]] std::vector<KnownCluster> ReadClusters(std::string_view text,
                                                     const std::string& origin);

/// The clusters of tuner/clusters.json.
[[nodiscard]] const std::vector<KnownCluster>& BuiltInClusters();
/// The text of tuner/clusters.json.
[[nodiscard]] std::string_view BuiltInClusterText();

struct Cluster {
  std::string name;  ///< "h200x8", "h200x8x8", or with a hash of the figures for a user's file
  std::string gpu;  ///< "h200"
  ClusterFigures figures;
  int nodes = 1;
  int gpus_per_node = 1;  ///< at most figures.gpus_per_node
  std::filesystem::path file;  ///< the user's file, or empty

  [[nodiscard]] int gpus() const { return nodes * gpus_per_node; }
};

/// Largest number of GPUs of a cluster.
inline constexpr int kMaxClusterGpus = 128;

/// Parses a value of --cluster. NAME is that of a built-in cluster, and file:PATH.json or
/// file:PATH.json:NAME one of a file; NAME may be left out where the file has one cluster.
///   NAME       as many full nodes as `ranks` need, or one with ranks 0
///   NAMExM     M GPUs: on one node, or on full nodes if M is a multiple of their size
///   NAMExNxM   N nodes of M GPUs
/// errors  Error{kInvalidArgument} for an unknown name (with the nearest known one), for sizes that
///         do not fit the nodes, and above kMaxClusterGpus; those of ReadFile() and ReadClusters()
[[nodiscard]] Cluster ParseCluster(std::string_view text, int ranks = 0);

/// The file of a value of --cluster, or an empty path.
[[nodiscard]] std::filesystem::path ClusterFileOf(std::string_view text);

}  // namespace dbsp::tuner
