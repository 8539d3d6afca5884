// SPDX-License-Identifier: Apache-2.0
// Workloads with lists of single keys: the seeded rule, and array files in every layout.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "core/fine_mask.h"
#include "planner/workload/mask_flag.h"
#include "planner/workload/mask_source.h"
#include "tests/planner/workload/mask_objects.h"

namespace dbsp::testing {
namespace {

using planner::ApplyMaskFlag;
using planner::MaskSource;
using planner::OpenMasks;
using ::testing::Contains;
using ::testing::HasSubstr;

constexpr int kFineTokens = 200;  // two lists of 128 queries, the second one short
constexpr int kLists = 2;

class FineMasksTest : public ::testing::Test {
 protected:
  Workload Make(const std::string& mask, int tokens = kFineTokens, BlockSize block = {64, 64}) {
    Workload workload;
    workload.model = {"test", 2, 3, 64, {1, 1, tokens}, 0, 4, 1};
    workload.block = block;
    workload.directory = folder_.path();
    notes_ = ApplyMaskFlag(mask, workload);
    return WorkloadFromJson(WorkloadToJson(workload), "w.json");  // as a reader sees it
  }
  std::unique_ptr<MaskSource> Open(Workload workload) {
    workload.directory = folder_.path();
    return OpenMasks(workload);
  }
  /// Array flag of a file with these arrays.
  std::string Array(const Parts& parts, const std::string& more = "") {
    WriteFileAtomically(folder_ / "f.npz", MakeZip(parts));
    return "array:file=" + (folder_ / "f.npz").string() + ",queries=128" + more;
  }
  void Refuse(const Parts& parts, const std::vector<std::string>& words) {
    try {
      static_cast<void>(Make(Array(parts)));
      ADD_FAILURE() << "accepted, expected " << words.front();
    } catch (const Error& error) {
      EXPECT_EQ(ExitCode(error.code()), 2) << error.what();
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
      for (const std::string& word : words) EXPECT_THAT(error.what(), HasSubstr(word));
    }
  }
  TemporaryFolder folder_;
  std::vector<std::string> notes_;
};

/// Lists of 3 heads x 2 query blocks: an empty list, one key, all keys, and some.
std::vector<Numbers> SomeLists() {
  std::vector<Numbers> lists{{}, {0}, {199}, {}, {0, 1, 63, 64, 127, 128, 198}, {}};
  for (int j = 0; j < kFineTokens; ++j) lists[3].push_back(j);
  for (int j = 5; j < kFineTokens; j += 7) lists[5].push_back(j);
  return lists;
}

std::vector<Numbers> ListsIn(const FineMasks& fine) {
  std::vector<Numbers> lists;
  for (int h = 0; h < fine.bits.heads(); ++h) {
    const FineLists of_head = fine.ListsOf(h);
    for (std::size_t i = 0; i + 1 < of_head.offsets.size(); ++i) {
      lists.emplace_back(of_head.keys.begin() + of_head.offsets[i],
                         of_head.keys.begin() + of_head.offsets[i + 1]);
    }
  }
  return lists;
}

Numbers Joined(const std::vector<Numbers>& lists) {
  Numbers all;
  for (const Numbers& list : lists) all.insert(all.end(), list.begin(), list.end());
  return all;
}

/// Offsets that go on over the lists; `per_mask` lists to a mask, each of which repeats its begin.
Numbers Offsets(const std::vector<Numbers>& lists, std::size_t per_mask, bool restart) {
  Numbers offsets;
  std::int64_t end = 0;
  for (std::size_t i = 0; i < lists.size(); ++i) {
    if (i % per_mask == 0) offsets.push_back(restart ? end = 0 : end);
    offsets.push_back(end += static_cast<std::int64_t>(lists[i].size()));
  }
  return offsets;
}

Parts Csr(const std::vector<Numbers>& lists) {
  return {Ints("offsets", {3, kLists + 1}, Offsets(lists, kLists, false), "<i8"),
          Ints("keys", {static_cast<std::int64_t>(Joined(lists).size())}, Joined(lists))};
}

TEST_F(FineMasksTest, EveryLayoutOfAnArrayGivesTheSameLists) {
  const std::vector<Numbers> lists = SomeLists();
  const auto keys = Ints("keys", {static_cast<std::int64_t>(Joined(lists).size())}, Joined(lists));
  Numbers dense;
  Numbers packed;
  Numbers token_pairs;
  for (std::size_t r = 0; r < lists.size(); ++r) {
    Numbers row(kFineTokens, 0);
    for (const std::int64_t key : lists[r]) row[static_cast<std::size_t>(key)] = 1;
    dense.insert(dense.end(), row.begin(), row.end());
    for (int b = 0; b < kFineTokens / 8; ++b) {
      std::int64_t byte = 0;
      for (int j = 0; j < 8; ++j) byte |= row[static_cast<std::size_t>(8 * b + j)] << j;
      packed.push_back(byte);
    }
    for (int q = 0; q < (r % 2 == 0 ? 128 : kFineTokens - 128); ++q) {
      token_pairs.insert(token_pairs.end(), row.begin(), row.end());
    }
  }
  Numbers padded;
  for (Numbers list : lists) {
    list.resize(kFineTokens, 0);
    padded.insert(padded.end(), list.begin(), list.end());
  }
  const std::vector<Parts> files{
      {Ints("mask", {3, kLists, kFineTokens}, dense, "|b1")},
      {Ints("mask", {3, kFineTokens, kFineTokens}, token_pairs, "|u1")},
      {Ints("mask_bits", {3, kLists, kFineTokens / 8}, packed, "|u1")},
      Csr(lists),
      {Ints("offsets", {3, kLists + 1}, Offsets(lists, kLists, true)), keys},
      {Ints("offsets", {3 * kLists + 1}, Offsets(lists, 3 * kLists, false)), keys},
      {Ints("indptr", {3, kLists + 1}, Offsets(lists, kLists, false)),
       Ints("indices", {static_cast<std::int64_t>(Joined(lists).size())}, Joined(lists))},
      {Ints("crow_indices", {3, kLists + 1}, Offsets(lists, kLists, true)),
       Ints("col_indices", {static_cast<std::int64_t>(Joined(lists).size())}, Joined(lists))},
      {Ints("kv_num_blocks", {3, kLists}, Counts(lists)),
       Ints("kv_indices", {3, kLists, kFineTokens}, padded)},
  };
  for (std::size_t i = 0; i < files.size(); ++i) {
    const Workload workload = Make(Array(files[i]));
    const auto source = Open(workload);
    ASSERT_EQ(source->FineQueriesAt(1, 1), 128);
    const FineMasks fine = source->FineAt(1, 1);
    EXPECT_EQ(ListsIn(fine), lists) << "layout " << i;
    const LayerMasks blocks = source->At(1, 1);
    const std::vector<std::int64_t> active = source->ActiveBlocksAt(1, 1);
    for (int h = 0; h < 3; ++h) {
      EXPECT_EQ(*blocks.head[h], BlocksOfFine(*fine.bits.head[h], 128, {64, 64})) << i;
      EXPECT_EQ(blocks.head[h]->Count(), active[h]) << i;
    }
    EXPECT_EQ(source->FineCountsAt(1, 1).keys, static_cast<std::int64_t>(Joined(lists).size()));
    EXPECT_THAT(source->Describe(0), Contains(HasSubstr("list of single keys per 128 queries")));
  }
}

TEST_F(FineMasksTest, OneListOfOffsetsCoversLayersAndSteps) {
  const std::vector<Numbers> head = SomeLists();
  std::vector<Numbers> lists;
  for (int i = 0; i < 2; ++i) lists.insert(lists.end(), head.begin(), head.end());
  lists.back() = {11};
  const Workload workload =
      Make(Array({Ints("offsets", {13}, Offsets(lists, lists.size(), false)),
                  Ints("keys", {static_cast<std::int64_t>(Joined(lists).size())}, Joined(lists))}));
  const auto source = Open(workload);
  EXPECT_EQ(ListsIn(source->FineAt(3, 0)), head);
  EXPECT_EQ(ListsIn(source->FineAt(3, 1)), (std::vector<Numbers>{lists.begin() + 6, lists.end()}));
}

TEST_F(FineMasksTest, BadListsAreRefusedWithTheirPlace) {
  std::vector<Numbers> lists = SomeLists();
  lists[4] = {5, 4};
  Refuse(Csr(lists), {"f.npz", "'keys'", "list [2, 0]", "key 4 after key 5", "ascending"});
  lists[4] = {5, 5};
  Refuse(Csr(lists), {"'keys'", "list [2, 0]", "key 5 twice"});
  lists[4] = {5, 200};
  Refuse(Csr(lists), {"'keys'", "list [2, 0]", "key 200, expected 0 to 199"});
  lists[4] = {-1};
  Refuse(Csr(lists), {"'keys'", "list [2, 0]", "key -1, expected 0 to 199"});
  lists = SomeLists();
  Numbers offsets = Offsets(lists, kLists, false);
  const auto keys = Csr(lists)[1];
  offsets[2] = 0;
  Refuse({Ints("offsets", {3, kLists + 1}, offsets), keys},
         {"'offsets'", "entry 3 is 1, expected 0"});  // the next mask begins elsewhere
  offsets[1] = 3;
  Refuse({Ints("offsets", {3, kLists + 1}, offsets), keys},
         {"'offsets'", "entry 2 is 0 after 3", "0 to 200 keys"});
  offsets = Offsets(lists, 3 * kLists, false);
  std::swap(offsets[3], offsets[4]);
  Refuse({Ints("offsets", {3 * kLists + 1}, offsets), keys},
         {"'offsets'", "entry 3 is 202 after 1", "0 to 200 keys"});
  offsets = Offsets(lists, 3 * kLists, false);
  offsets.back() += 1;
  Refuse({Ints("offsets", {3 * kLists + 1}, offsets), keys},
         {"'offsets'", "keys, but 'keys' holds"});
  Refuse({Ints("offsets", {3, 4}, Numbers(12, 0)), keys},
         {"shape [3, 4]", "2 x 200 keys", "3 pointers each", "queries="});
  Refuse({Ints("offsets", {3, 3}, Numbers(9, 0))}, {"'offsets'", "lacks 'keys'"});
  Refuse({Ints("kv_num_blocks", {3, 2}, {0, 0, 2, 0, 0, 0}),
          Ints("kv_indices", {3, 2, 2}, {0, 0, 0, 0, 9, 8, 0, 0, 0, 0, 0, 0})},
         {"'kv_indices'", "list [1, 0]", "key 8 after key 9"});
  Refuse({Ints("mask", {3, 2, kFineTokens}, Numbers(1200, 7), "|u1")}, {"'mask'", "7"});
}

TEST_F(FineMasksTest, QueriesThatNoKernelTakesAreRefused) {
  for (const std::string queries : {"0", "-64", "1", "96", "192", "064", "x"}) {
    ExpectError(ErrorCode::kInvalidArgument,
                {"'fine'", "queries", "64 or 128", "'" + queries + "'"},
                [&] { static_cast<void>(Make("fine:density=0.5,queries=" + queries)); });
    ExpectError(ErrorCode::kInvalidArgument,
                {"'array'", "queries", "64 or 128", "'" + queries + "'"},
                [&] { static_cast<void>(Make("array:file=x.npz,queries=" + queries)); });
  }
  ExpectError(ErrorCode::kInvalidArgument, {"'fine'", "run", "200 tokens", "201"}, [&] {
    static_cast<void>(Make("fine:density=0.5,run=201"));
  });
}

TEST_F(FineMasksTest, AnArrayOfSingleKeysIsNotTakenForBlocks) {
  const Numbers bits(3 * kLists * kFineTokens, 1);
  WriteFileAtomically(folder_ / "f.npz",
                      MakeZip({Ints("m", {3, kLists, kFineTokens}, bits, "|b1")}));
  ExpectError(ErrorCode::kMismatch, {"f.npz", "name queries=128"}, [&] {
    static_cast<void>(Make("array:file=" + (folder_ / "f.npz").string()));
  });
}

TEST_F(FineMasksTest, BlockMaskArraysKeepTheirOptions) {
  const Numbers bits(3 * 4 * 4, 1);
  WriteFileAtomically(folder_ / "f.npz", MakeZip({Ints("m", {3, 4, 4}, bits, "|b1")}));
  const Workload workload = Make("array:file=" + (folder_ / "f.npz").string());
  EXPECT_FALSE(workload.rules[0].options.contains("queries")) << "read by earlier versions";
  EXPECT_EQ(Open(workload)->FineQueriesAt(0, 0), 0);
}

TEST_F(FineMasksTest, SeededListsHaveTheDensityRunsAndShareThatWereAsked) {
  constexpr int kTokens = 1600;
  for (const int run : {1, 4, 32}) {
    for (const double density : {0.0, 0.1, 0.5, 1.0}) {
      for (const double share : {0.0, 0.25, 1.0}) {
        const auto source = Open(
            Make(fmt::format("fine:queries=64,density={},run={},share={}", density, run, share),
                 kTokens));
        const FineMasks fine = source->FineAt(0, 1);
        EXPECT_EQ(fine.queries, 64);
        const int pieces = kTokens / run;
        const auto chosen = static_cast<int>(std::lround(density * pieces));
        const auto replaced = static_cast<int>(std::lround((1 - share) * chosen));
        const int common = chosen - std::min(replaced, pieces - chosen);
        for (const BlockMaskPtr& mask : fine.bits.head) {
          ASSERT_EQ(mask->rows(), 25);
          for (int i = 0; i < mask->rows(); ++i) {
            ASSERT_EQ(mask->RowCount(i), chosen * run);
            for (int j = 0; j < kTokens; ++j) {
              ASSERT_EQ(mask->Get(i, j), mask->Get(i, j / run * run)) << "pieces are whole";
            }
            if (i == 0) continue;
            int both = 0;
            for (int j = 0; j < kTokens; ++j)
              both += mask->Get(i, j) && mask->Get(i - 1, j) ? 1 : 0;
            ASSERT_EQ(both, common * run) << density << " " << run << " " << share;
          }
        }
      }
    }
  }
}

TEST_F(FineMasksTest, SeededListsRepeatAndDifferWhereTheyMust) {
  const std::string mask = "fine:density=0.3,run=8,share=0.5,every=2,seed=4";
  const auto source = Open(Make(mask));
  const auto again = Open(Make(mask));
  const auto keys = [](MaskSource& from, int step, int layer) {
    return ListsIn(from.FineAt(step, layer));
  };
  EXPECT_EQ(keys(*source, 1, 0), keys(*again, 1, 0));
  EXPECT_EQ(keys(*source, 0, 0), keys(*source, 1, 0));
  EXPECT_NE(keys(*source, 1, 0), keys(*source, 2, 0)) << "made anew every 2 steps";
  EXPECT_NE(keys(*source, 0, 0), keys(*source, 0, 1));
  EXPECT_EQ(source->KeyAt(0, 0), source->KeyAt(1, 0));
  EXPECT_NE(source->KeyAt(1, 0), source->KeyAt(2, 0));
  const FineMasks fine = source->FineAt(0, 0);
  EXPECT_NE(*fine.bits.head[0], *fine.bits.head[1]);
  const auto fixed = Open(Make("fine:density=0.3"));
  EXPECT_EQ(fixed->KeyAt(0, 1), fixed->KeyAt(3, 1)) << "every=0: never made anew";
}

TEST_F(FineMasksTest, SeededListsMayEndWithAShortPiece) {
  for (const int tokens : {1, 7, 63, 129, 1001}) {
    const auto source =
        Open(Make(fmt::format("fine:density=1,run={}", std::min(tokens, 10)), tokens));
    const FineMasks fine = source->FineAt(0, 0);
    EXPECT_EQ(*fine.bits.head[0], BlockMask::Full((tokens + 127) / 128, tokens)) << tokens;
    EXPECT_EQ(source->FineCountsAt(0, 0).key_share(), 1) << tokens;
  }
}

TEST_F(FineMasksTest, ClassesOfSlaAreCriticalMarginalAndNegligible) {
  // 3 heads of 4 x 4 blocks; element n of a head has class n % 3 - 1, shifted by the head.
  const auto class_of = [](int head, int n) { return (n + head) % 3 - 1; };
  const std::vector<std::string> types{"<i4", "|i1"};
  for (const std::string& type : types) {
    Numbers classes;
    for (int h = 0; h < 3; ++h) {
      for (int n = 0; n < 16; ++n) classes.push_back(class_of(h, n));
    }
    WriteFileAtomically(folder_ / "c.npz", MakeZip({Ints("classes", {3, 4, 4}, classes, type)}));
    const auto source = Open(Make("array:sla,file=" + (folder_ / "c.npz").string()));
    ASSERT_TRUE(source->HasMarginalAt(0, 0));
    const LayerMasks critical = source->At(1, 1);
    const LayerMasks marginal = source->MarginalAt(1, 1);
    for (int h = 0; h < 3; ++h) {
      for (int n = 0; n < 16; ++n) {
        EXPECT_EQ(critical.head[h]->Get(n / 4, n % 4), class_of(h, n) == 1);
        EXPECT_EQ(marginal.head[h]->Get(n / 4, n % 4), class_of(h, n) == 0);
      }
    }
    EXPECT_THAT(source->Describe(0), Contains(HasSubstr("classes of SLA")));
    EXPECT_FALSE(Open(Make("fine:density=0.1"))->HasMarginalAt(0, 0));
    for (const std::string more : {"threshold=0", "additive", "inverted", "queries=64"}) {
      ExpectError(ErrorCode::kInvalidArgument, {"sla excludes"}, [&] {
        static_cast<void>(Make("array:sla,file=" + (folder_ / "c.npz").string() + "," + more));
      });
    }
    for (const std::int64_t wrong : {2, -2, 127}) {
      Numbers bad = classes;
      bad[16 + 5] = wrong;
      WriteFileAtomically(folder_ / "c.npz", MakeZip({Ints("classes", {3, 4, 4}, bad, type)}));
      ExpectError(
          ErrorCode::kCorruptInput,
          {"[1, 1, 1]", "is " + std::to_string(wrong), "negligible"},
          [&] { static_cast<void>(Make("array:sla,file=" + (folder_ / "c.npz").string())); });
    }
  }
  WriteFileAtomically(folder_ / "l.npz", MakeZip(Csr(SomeLists())));
  ExpectError(ErrorCode::kInvalidArgument, {"sla read dense masks"}, [&] {
    static_cast<void>(Make("array:sla,file=" + (folder_ / "l.npz").string()));
  });
}

}  // namespace
}  // namespace dbsp::testing
