// SPDX-License-Identifier: Apache-2.0
#include "tuner/bandwidth_advice.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <vector>

#include "tuner/cluster_figures.h"

namespace dbsp::tuner {
namespace {

/// Below this share of the published rate something is wrong. Small sizes alone do not go so low.
constexpr double kFarBelow = 0.5;

/// Settings that make exchanges slow on a healthy machine.
constexpr std::array<const char*, 7> kSlowSettings{"NCCL_P2P_DISABLE",
                                                   "NCCL_P2P_LEVEL",
                                                   "NCCL_SHM_DISABLE",
                                                   "NCCL_IB_DISABLE",
                                                   "NCCL_NET_GDR_LEVEL",
                                                   "NCCL_MAX_NCHANNELS",
                                                   "NCCL_MAX_CTAS"};

/// Words of a name in lower case: "NVIDIA A800-SXM4-80GB" -> nvidia, a800, sxm4, 80gb.
std::vector<std::string> WordsOf(const std::string& name) {
  std::vector<std::string> words(1);
  for (const char c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
      words.back() += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    } else if (!words.back().empty()) {
      words.emplace_back();
    }
  }
  return words;
}

const KnownCluster* ClusterOf(const std::string& device) {
  const std::vector<std::string> words = WordsOf(device);
  const auto has = [&](const std::string& word) {
    return std::ranges::find(words, word) != words.end();
  };
  if (has("pcie") || has("nvl") || has("mig")) return nullptr;  // other links than the SXM module
  for (const KnownCluster& known : BuiltInClusters()) {
    if (has(known.name)) return &known;
  }
  return nullptr;
}

}  // namespace

std::optional<std::string> BandwidthAdvice(const Provenance& device, double gb_per_s) {
  const KnownCluster* known = ClusterOf(device.device_name);
  if (device.device_kind != "cuda" || known == nullptr) return std::nullopt;
  const double link = known->figures.link_gb_per_s;
  if (!(gb_per_s > 0) || gb_per_s >= kFarBelow * link) return std::nullopt;
  std::string settings;
  for (const char* name : kSlowSettings) {
    const auto found = device.extra.find(name);
    if (found == device.extra.end()) continue;
    settings += (settings.empty() ? "" : ", ") + found->first + "=" + found->second;
  }
  return fmt::format(
      "the fastest measured exchange reaches {:.3g} GB/s, where {} reaches {:.0f} inside a node; "
      "{}",
      gb_per_s,
      known->name,
      link,
      settings.empty() ? "check the links (nvidia-smi topo -m) and that exchanges of many "
                         "megabytes were measured"
                       : "it was measured with " + settings + ": unset that and measure again");
}

}  // namespace dbsp::tuner
