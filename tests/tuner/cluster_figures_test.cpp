// SPDX-License-Identifier: Apache-2.0
#include "tuner/cluster_figures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "core/error.h"

namespace dbsp::tuner {
namespace {

using ::testing::HasSubstr;

std::string ErrorOf(const std::string& text, int ranks = 0) {
  try {
    (void)ParseCluster(text, ranks);
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << text << " was taken";
  return {};
}

std::string FileErrorOf(const std::string& text) {
  try {
    (void)ReadClusters(text, "my.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorruptInput);
    return error.what();
  }
  ADD_FAILURE() << text << " was taken";
  return {};
}

std::string Document(const std::string& clusters) {
  return R"({"schema": "dbsp.clusters/1", "clusters": )" + clusters + "}";
}

std::string WriteClusters(const std::string& name, const std::string& clusters) {
  const std::string path = ::testing::TempDir() + "/" + name;
  std::ofstream(path) << Document(clusters);
  return path;
}

TEST(BuiltInClustersTest, EveryFigureHasASource) {
  for (const char* name : {"h200", "h100", "h800", "h20", "a100", "a800", "b200", "gb200"}) {
    EXPECT_EQ(ParseCluster(name).gpu, name);
  }
  for (const KnownCluster& known : BuiltInClusters()) {
    EXPECT_GE(known.sources.size(), 11U) << known.name;
    EXPECT_LE(known.figures.attention_tflops_d128, known.figures.peak_tflops) << known.name;
    EXPECT_LT(known.figures.network_gb_per_s, known.figures.link_gb_per_s) << known.name;
  }
}

TEST(ParseClusterTest, ReadsGpusAndNodes) {
  EXPECT_EQ(ParseCluster("h200x8").gpus(), 8);
  EXPECT_EQ(ParseCluster("h200x8").nodes, 1);
  EXPECT_EQ(ParseCluster("a100x3").gpus_per_node, 3);
  EXPECT_EQ(ParseCluster("h100x1").name, "h100x1");
  const Cluster cluster = ParseCluster("h100x8x4");
  EXPECT_EQ(cluster.nodes, 8);
  EXPECT_EQ(cluster.gpus_per_node, 4);
  EXPECT_EQ(cluster.name, "h100x8x4");
  EXPECT_EQ(ParseCluster("b200x16x8").gpus(), 128);
  EXPECT_EQ(ParseCluster("gb200x64").nodes, 1) << "one NVLink domain has 72";
}

TEST(ParseClusterTest, GpusBeyondANodeAreFullNodes) {
  const Cluster cluster = ParseCluster("h200x16");
  EXPECT_EQ(cluster.nodes, 2);
  EXPECT_EQ(cluster.gpus_per_node, 8);
  EXPECT_EQ(cluster.name, "h200x2x8");
  EXPECT_THAT(ErrorOf("h200x12"), HasSubstr("such as h200x2x8"));
}

TEST(ParseClusterTest, ABareNameHasTheNodesThatTheRanksNeed) {
  EXPECT_EQ(ParseCluster("h20").gpus(), 8);
  EXPECT_EQ(ParseCluster("h20", 4).gpus(), 8);
  EXPECT_EQ(ParseCluster("h20", 20).nodes, 3);
  EXPECT_EQ(ParseCluster("gb200", 100).nodes, 2);
  EXPECT_THAT(ErrorOf("h20", 129), HasSubstr("expected at most 128"));
}

TEST(ParseClusterTest, RefusesOtherTextsWithAReason) {
  EXPECT_THAT(ErrorOf("h2000x8"), HasSubstr("nearest known: 'h200'"));
  EXPECT_THAT(ErrorOf("h200x0"), HasSubstr("0 is not a number from 1 to 128"));
  EXPECT_THAT(ErrorOf("h200x2x16"), HasSubstr("16 GPUs on a node, expected at most 8"));
  EXPECT_THAT(ErrorOf("h200x17x8"), HasSubstr("136 GPUs, expected at most 128"));
  EXPECT_THAT(ErrorOf("h200x999"), HasSubstr("999 is not a number"));
  for (const char* text : {"",
                           "x",
                           "h200x",
                           "h200x8x",
                           "h200x-2",
                           "h200x8.5",
                           "8",
                           "h200x1x2x3",
                           "h200x99999999999",
                           "H200x8",
                           "file:",
                           "file:none.json"}) {
    EXPECT_FALSE(ErrorOf(text).empty()) << text;
  }
}

TEST(ClusterFileTest, ExtendsABuiltInCluster) {
  const std::string path = WriteClusters("own.json", R"({"roce": {"extends": "h100",
      "network_gb_per_s": {"value": 22.5, "source": "nccl-tests on this machine"}}})");
  const Cluster cluster = ParseCluster("file:" + path);
  EXPECT_EQ(cluster.gpu, "roce");
  EXPECT_EQ(cluster.figures.network_gb_per_s, 22.5);
  EXPECT_EQ(cluster.figures.link_gb_per_s, 370);
  EXPECT_EQ(cluster.gpus(), 8);
  EXPECT_THAT(cluster.name, ::testing::MatchesRegex("rocex8@[0-9a-f]{8}"));
  EXPECT_EQ(ParseCluster("file:" + path + ":rocex4x8").gpus(), 32);
  EXPECT_THAT(ErrorOf("file:" + path + ":rock"), HasSubstr("nearest known: 'roce'"));
  EXPECT_EQ(ClusterFileOf("file:" + path + ":rocex4x8"), path);
  EXPECT_EQ(ClusterFileOf("h200x8"), "");
}

TEST(ClusterFileTest, OfSeveralClustersOneIsNamed) {
  const std::string path =
      WriteClusters("two.json", R"({"one": {"extends": "h100"}, "two": {"extends": "one",
      "gpus_per_node": {"value": 4, "source": "s"}}})");
  EXPECT_THAT(ErrorOf("file:" + path), HasSubstr("has 2 clusters; name one"));
  EXPECT_EQ(ParseCluster("file:" + path + ":two").gpus(), 4);
}

TEST(ClusterFileTest, ANewLinkRateIsThatOfHopsToo) {
  const auto clusters = ReadClusters(
      Document(R"({"a": {"extends": "a800", "link_gb_per_s": {"value": 150, "source": "s"}},
                   "b": {"extends": "a800"}})"),
      "my.json");
  EXPECT_EQ(clusters[0].figures.hop_gb_per_s, 150);
  EXPECT_EQ(clusters[1].figures.hop_gb_per_s, 88.5);
}

TEST(ClusterFileTest, ItsOwnTextIsAValidFile) {
  EXPECT_EQ(ReadClusters(BuiltInClusterText(), "copy.json").size(), BuiltInClusters().size());
}

TEST(ClusterFileTest, RefusesWithFileAndKey) {
  EXPECT_THAT(FileErrorOf("{"), HasSubstr("my.json: line 1"));
  EXPECT_THAT(FileErrorOf(R"({"schema": "dbsp.clusters/2", "clusters": {}})"),
              HasSubstr("dbsp.clusters/1"));
  EXPECT_THAT(FileErrorOf(Document("{}")), HasSubstr("key 'clusters': expected an object"));
  EXPECT_THAT(FileErrorOf(Document("[]")), HasSubstr("key 'clusters'"));
  EXPECT_THAT(FileErrorOf(Document(R"({"m": 3})")), HasSubstr("key 'clusters.m'"));
  EXPECT_THAT(FileErrorOf(Document(R"({"m": {"extends": "h10"}})")),
              HasSubstr("nearest known: 'h100'"));
  EXPECT_THAT(FileErrorOf(Document(R"({"m": {"peak_tflops": {"value": 1, "source": "s"}}})")),
              HasSubstr("the figure 'attention_tflops_d128'"));
  EXPECT_THAT(FileErrorOf(Document(R"({"m": {"extends": "h100", "link": {}}})")),
              HasSubstr("unknown figure 'link'"));
  EXPECT_THAT(FileErrorOf(Document(R"({"m": {"extends": "h100", "peak_tflops": {"value": 1}}})")),
              HasSubstr("source"));
  for (const char* value : {"-1", "0", "1e30", "null", "\"9\"", "[]"}) {
    EXPECT_THAT(FileErrorOf(Document(std::string(R"({"m": {"extends": "h100", "peak_tflops": {)") +
                                     "\"source\": \"s\", \"value\": " + value + "}}}")),
                HasSubstr("key 'clusters.m.peak_tflops.value'"))
        << value;
  }
  EXPECT_THAT(FileErrorOf(Document(R"({"a": {"extends": "b"}, "b": {"extends": "a"}})")),
              HasSubstr("does not extend itself"));
  EXPECT_THAT(FileErrorOf(Document(R"({"minex8": {"extends": "h100"}})")),
              HasSubstr("no size such as x8"));
  EXPECT_THAT(FileErrorOf(Document(R"({"a b": {"extends": "h100"}})")), HasSubstr("letters"));
}

}  // namespace
}  // namespace dbsp::tuner
