// SPDX-License-Identifier: Apache-2.0
// Plan files that are damaged or made to do harm.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <random>
#include <string>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/plan.h"
#include "tests/core/expect_error.h"
#include "tests/core/small_plan.h"
#include "tests/core/temporary_folder.h"

namespace dbsp {
namespace {

using testing::Editable;
using testing::ExpectError;
using testing::SmallPlan;
using testing::TemporaryFolder;

/// SmallPlan() with a timeline of 200 segments.
Plan LongerPlan() {
  Plan plan = SmallPlan();
  for (int i = 0; i < 200; ++i) {
    plan.predictions[0].segments.push_back(
        {i % 2, SegmentKind::kExchange, i / 2, 37 * i, 3 * i + 1, 4096 * i});
  }
  return plan;
}

TEST(HostilePlanTest, AWorkloadThatIsNoWorkloadIsRefused) {
  for (const std::string& text : {std::string("{}"), std::string(100'000, '[')}) {
    Json json = Editable(SmallPlan());
    json["workload"]["text"] = text;
    json["workload"]["hash"] = HashBytes(text);
    ExpectError(ErrorCode::kCorruptInput, {"bad.json: key 'workload.text': "}, [&] {
      static_cast<void>(PlanFromJson(json.dump(), "bad.json"));
    });
  }
}

TEST(HostilePlanTest, SumsOfAllSegmentsAndCellsStayWithin64Bits) {
  Json json = Editable(SmallPlan());
  const Json segment = Json::parse("[1,\"hop\",0,0,4503599627370496,4503599627370496]");
  json["predictions"][0]["segments"] = {segment, segment};
  ExpectError(ErrorCode::kCorruptInput, {"predictions[0].segments[1][4]", "in all"}, [&] {
    static_cast<void>(PlanFromJson(json.dump(), "bad.json"));
  });
}

TEST(HostilePlanTest, ThePlanCarriesTheHashOfItsContent) {
  const Plan plan = SmallPlan();
  const std::string text = PlanToJson(plan);
  EXPECT_TRUE(PlanFromJson(text, "p.json").hashed);
  // Older plans have none. Space and the order of members are no content.
  EXPECT_FALSE(PlanFromJson(Editable(plan).dump(), "p.json").hashed);
  EXPECT_TRUE(PlanFromJson(Json::parse(text).dump(3), "p.json").hashed);
  Json json = Json::parse(text);
  json["predictions"][0]["bytes_per_rank"] = 1;
  ExpectError(ErrorCode::kCorruptInput,
              {"p.json: key 'content_hash'", "damaged or was edited", "remove the member"},
              [&] { static_cast<void>(PlanFromJson(json.dump(), "p.json")); });
  json.erase("content_hash");
  EXPECT_EQ(PlanFromJson(json.dump(), "p.json").predictions[0].bytes_per_rank, 1);
}

TEST(HostilePlanTest, NoFlippedBitIsAcceptedWithOtherContent) {
  const std::string text = PlanToJson(LongerPlan());
  std::mt19937_64 random(5);
  for (const bool compressed : {false, true}) {
    const std::string whole = compressed ? ZstdCompress(text) : text;
    for (int i = 0; i < 1000; ++i) {
      const std::size_t bit = random() % (8 * whole.size());
      std::string flipped = whole;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
      try {
        const std::string read = compressed ? ZstdDecompress(flipped, "p.json.zst") : flipped;
        EXPECT_EQ(PlanToJson(PlanFromJson(read, "p.json")), text) << "bit " << bit;
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kCorruptInput) << error.what();
      }
    }
  }
}

TEST(HostilePlanTest, ACompressedPlanWithoutAnyChecksumIsRefused) {
  const TemporaryFolder folder;
  // A frame as older versions wrote it: bit 2 of the descriptor says that 4 bytes of checksum end
  // it.
  const auto without = [](std::string frame) {
    frame[4] = static_cast<char>(frame[4] & ~4);
    return frame.substr(0, frame.size() - 4);
  };
  const Plan plan = SmallPlan();
  const std::string old = DumpJson(Editable(plan));
  EXPECT_TRUE(ZstdHasChecksums(ZstdCompress(old)));
  EXPECT_FALSE(ZstdHasChecksums(ZstdCompress(old) + without(ZstdCompress(" "))));
  WriteFileAtomically(folder / "old.json.zst", without(ZstdCompress(old)));
  ExpectError(ErrorCode::kCorruptInput, {"old.json.zst", "checksum", "zstd -d"}, [&] {
    static_cast<void>(ReadPlan(folder / "old.json.zst"));
  });
  // Either of the two checksums is enough.
  WriteFileAtomically(folder / "frame.json.zst", ZstdCompress(old));
  EXPECT_FALSE(ReadPlan(folder / "frame.json.zst").hashed);
  WriteFileAtomically(folder / "hash.json.zst", without(ZstdCompress(PlanToJson(plan))));
  EXPECT_TRUE(ReadPlan(folder / "hash.json.zst").hashed);
}

TEST(HostilePlanTest, ABombIsRefusedByALimit) {
  const TemporaryFolder folder;
  std::string text = "{\"cells\":[";
  for (int i = 0; i < 9'000'000; ++i) text += "[],";
  WriteFileAtomically(folder / "values.json.zst", ZstdCompress(text + "[]]}"));
  ExpectError(ErrorCode::kCorruptInput, {"values.json.zst", "cells[", "more values than"}, [&] {
    static_cast<void>(ReadPlan(folder / "values.json.zst"));
  });
  WriteFileAtomically(folder / "bytes.json.zst",
                      ZstdCompress(std::string(JsonLimits{}.max_bytes + 1, ' ')));
  ExpectError(ErrorCode::kCorruptInput, {"bytes.json.zst", "inflate to more than"}, [&] {
    static_cast<void>(ReadPlan(folder / "bytes.json.zst"));
  });
}

TEST(HostilePlanTest, DepthIsLimited) {
  for (const std::string& text :
       {std::string(100'000, '['),
        "{\"schema\":\"dbsp.plan/2\",\"cells\":" + std::string(100'000, '[') +
            std::string(100'000, ']') + "}"}) {
    ExpectError(ErrorCode::kCorruptInput, {"deep.json: line 1, column ", "nested"}, [&] {
      static_cast<void>(PlanFromJson(text, "deep.json"));
    });
  }
}

}  // namespace
}  // namespace dbsp
