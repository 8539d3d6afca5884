// SPDX-License-Identifier: Apache-2.0
// JSON that is nested 100,000 deep, or has numbers that no type holds, in every reader of core.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "core/arrays/array.h"
#include "core/error.h"
#include "core/file.h"
#include "core/plan.h"
#include "core/records.h"
#include "core/workload.h"
#include "tests/core/expect_error.h"
#include "tests/core/file_bytes.h"
#include "tests/core/temporary_folder.h"

namespace dbsp {
namespace {

using testing::ExpectError;
using testing::MakeSafetensors;
using testing::TemporaryFolder;

constexpr int kDeep = 100'000;

struct Reader {
  const char* name;
  std::function<void(const std::string&)> read;
};

void ReadSafetensors(const std::string& json) {
  const TemporaryFolder folder;
  WriteFileAtomically(folder / "a.safetensors", MakeSafetensors(json, "1234"));
  static_cast<void>(ListArrays(folder / "a.safetensors"));
}

std::vector<Reader> Readers() {
  return {{"workload", [](const std::string& t) { (void)WorkloadFromJson(t, "w.json"); }},
          {"plan", [](const std::string& t) { (void)PlanFromJson(t, "p.json"); }},
          {"trial", [](const std::string& t) { (void)ConfigOf(t); }},
          {"safetensors", ReadSafetensors}};
}

TEST(JsonBombsTest, DeepNestingIsRefusedByEveryReader) {
  std::string objects;
  for (int i = 0; i < kDeep; ++i) objects += "{\"a\":";
  for (const std::string& bomb : {std::string(kDeep, '['),
                                  std::string(kDeep, '[') + std::string(kDeep, ']'),
                                  "{\"schema\":" + std::string(kDeep, '['),
                                  objects}) {
    for (const Reader& reader : Readers()) {
      SCOPED_TRACE(reader.name);
      ExpectError(ErrorCode::kCorruptInput, {": line 1, column ", "nested more than 64 deep"}, [&] {
        reader.read(bomb);
      });
    }
  }
}

TEST(JsonBombsTest, NumbersOutOfRangeAreRefusedByEveryReader) {
  for (const char* number : {"1e400", "-1e999", "123456789012345678901234567890"}) {
    for (const Reader& reader : Readers()) {
      SCOPED_TRACE(reader.name);
      ExpectError(ErrorCode::kCorruptInput, {": line 2, column ", "key 'x.y[1]'", "range"}, [&] {
        reader.read(std::string("{\n\"x\": {\"y\": [0, ") + number + "]}}");
      });
    }
  }
}

TEST(JsonBombsTest, ASeedThatIsNoIntegerIsNamed) {
  const AttentionConfig config;
  std::string key = KeyOf(config);
  const std::string seed = "\"seed\":";
  const std::size_t at = key.find(seed) + seed.size();
  for (const char* value : {"\"x\"", "-1", "1.5", "null"}) {
    std::string changed = key;
    changed.replace(at, key.find_first_of(",}", at) - at, value);
    ExpectError(
        ErrorCode::kCorruptInput, {"key 'seed'"}, [&] { static_cast<void>(ConfigOf(changed)); });
  }
}

}  // namespace
}  // namespace dbsp
