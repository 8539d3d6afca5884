// SPDX-License-Identifier: Apache-2.0
// The tree keeps its own rules: the module table of docs/architecture.md against #include lines and
// link lines, licence lines, and sources that every CMakeLists names.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "test_paths.h"

namespace {

namespace fs = std::filesystem;

std::string Read(const fs::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> Lines(const fs::path& path) {
  std::vector<std::string> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

std::vector<std::string> Words(std::string text) {
  std::replace(text.begin(), text.end(), ',', ' ');
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

const fs::path kRoot = DBSP_SOURCE_DIR;

/// Module (a folder, or a subfolder of planner) -> modules it may include, itself not listed.
std::map<std::string, std::set<std::string>> ModuleTable() {
  std::map<std::string, std::set<std::string>> table;
  bool inside = false;
  for (const std::string& line : Lines(kRoot / "docs/architecture.md")) {
    if (line == "| folder | holds | may include |") inside = true;
    if (!inside || !line.starts_with("| ")) {
      if (inside && line.empty()) break;
      continue;
    }
    std::vector<std::string> cells;
    std::istringstream stream(line.substr(1));
    for (std::string cell; std::getline(stream, cell, '|');) cells.push_back(cell);
    const std::string folder = Words(cells.at(0)).at(0);
    if (folder == "folder") continue;
    for (const std::string& allowed : Words(cells.at(2))) table[folder].insert(allowed);
    table[folder];
  }
  return table;
}

/// The module that a path relative to the root belongs to; empty where it belongs to none.
std::string ModuleOf(const std::string& path,
                     const std::map<std::string, std::set<std::string>>& table) {
  for (const auto& [module, allowed] : table) {
    if (path.starts_with(module + "/")) return module;
  }
  return {};
}

/// Library name of a module: "planner/timeline" is planner_timeline.
std::string LibraryOf(std::string module) {
  std::replace(module.begin(), module.end(), '/', '_');
  return module;
}

std::vector<fs::path> Sources(const fs::path& folder) {
  static const std::set<std::string> kSuffixes = {".h", ".cpp", ".cu", ".cuh"};
  std::vector<fs::path> files;
  if (!fs::exists(folder)) return files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (kSuffixes.contains(entry.path().extension())) files.push_back(entry.path());
  }
  return files;
}

TEST(TreeTest, ModuleTableNamesEveryLibrary) {
  const auto table = ModuleTable();
  EXPECT_EQ(table.size(), 12U);
  for (const auto& [folder, allowed] : table) {
    EXPECT_TRUE(fs::exists(kRoot / folder / "CMakeLists.txt")) << folder;
    for (const std::string& name : allowed) EXPECT_TRUE(table.contains(name)) << name;
  }
}

TEST(TreeTest, IncludesFollowTheModuleTable) {
  const auto table = ModuleTable();
  int includes = 0;
  for (const auto& [folder, allowed] : table) {
    for (const fs::path& file : Sources(kRoot / folder)) {
      for (const std::string& line : Lines(file)) {
        if (!line.starts_with("#include \"")) continue;
        const std::string path = line.substr(10, line.find('"', 10) - 10);
        const std::string module = ModuleOf(path, table);
        if (module.empty()) continue;
        ++includes;
        EXPECT_TRUE(module == folder || allowed.contains(module))
            << file << " includes " << path << ", which docs/architecture.md does not allow";
      }
    }
  }
  EXPECT_GT(includes, 50);
}

TEST(TreeTest, LinkLinesFollowTheModuleTable) {
  for (const auto& [folder, allowed] : ModuleTable()) {
    const std::string text = Read(kRoot / folder / "CMakeLists.txt");
    const std::size_t begin = text.find("dbsp_add_module(" + LibraryOf(folder));
    ASSERT_NE(begin, std::string::npos) << folder;
    const std::string call = text.substr(begin, text.find(')', begin) - begin);
    const std::size_t deps = call.find("DEPS");
    std::set<std::string> linked;
    if (deps != std::string::npos) {
      for (const std::string& word : Words(call.substr(deps + 4))) {
        if (word == "LIBS" || word == "PRIVATE_LIBS" || word == "SOURCES") break;
        linked.insert(word);
      }
    }
    std::set<std::string> expected;
    for (const std::string& name : allowed) expected.insert(LibraryOf(name));
    EXPECT_EQ(linked, expected) << folder << "/CMakeLists.txt";
  }
}

TEST(TreeTest, OnlyDbSeesSqliteAndOnlyRuntimeAndKernelsSeeVendors) {
  for (const auto& [folder, allowed] : ModuleTable()) {
    for (const fs::path& file : Sources(kRoot / folder)) {
      for (const std::string& line : Lines(file)) {
        if (!line.starts_with("#include <")) continue;
        if (line.find("<sqlite3.h>") != std::string::npos) {
          EXPECT_TRUE(folder == "db" && file.extension() == ".cpp") << file;
        }
        for (const char* vendor : {"<cuda", "<nccl.h>", "<cupti", "<mpi.h>"}) {
          if (line.find(vendor) == std::string::npos) continue;
          EXPECT_TRUE(folder == "runtime" || folder == "kernels" || folder == "profiler") << file;
        }
      }
    }
  }
}

TEST(TreeTest, KernelsUseSharedMemoryThroughOneFunction) {
  // UseSharedMemory() sets the limit and the carveout. A launcher that sets only the limit would
  // get one thread block per SM.
  const std::string attribute = "cudaFuncAttributeMaxDynamicSharedMemorySize";
  const std::string helper = Read(kRoot / "kernels/gpu/launch.h");
  EXPECT_NE(helper.find(attribute), std::string::npos);
  EXPECT_NE(helper.find("cudaFuncAttributePreferredSharedMemoryCarveout"), std::string::npos);
  for (const auto& entry : fs::recursive_directory_iterator(kRoot / "kernels")) {
    if (!entry.is_regular_file() || entry.path().filename() == "launch.h") continue;
    EXPECT_EQ(Read(entry.path()).find(attribute), std::string::npos) << entry.path();
  }
}

TEST(TreeTest, EverySourceHasTheLicenceLine) {
  int files = 0;
  for (const char* folder : {"core",
                             "runtime",
                             "kernels",
                             "planner",
                             "predict",
                             "db",
                             "profiler",
                             "tuner",
                             "replay",
                             "reports",
                             "tests",
                             "bench"}) {
    for (const fs::path& file : Sources(kRoot / folder)) {
      if (file.string().find("node_modules") != std::string::npos) continue;
      ++files;
      const auto lines = Lines(file);
      ASSERT_FALSE(lines.empty()) << file;
      EXPECT_EQ(lines.front(), "// SPDX-License-Identifier: Apache-2.0") << file;
    }
  }
  EXPECT_GT(files, 50);
}

TEST(TreeTest, EverySourceIsBuilt) {
  for (const auto& [folder, allowed] : ModuleTable()) {
    std::string lists;
    for (const auto& entry : fs::recursive_directory_iterator(kRoot / folder)) {
      const fs::path name = entry.path().filename();
      if (name == "CMakeLists.txt" || name.extension() == ".cmake") lists += Read(entry.path());
    }
    for (const fs::path& file : Sources(kRoot / folder)) {
      if (file.extension() != ".cpp" && file.extension() != ".cu") continue;
      if (file.string().find("node_modules") != std::string::npos) continue;
      EXPECT_NE(lists.find(file.filename().string()), std::string::npos) << file;
    }
  }
}

TEST(TreeTest, ASourceIncludesItsOwnHeaderFirst) {
  int sources = 0;
  for (const auto& [folder, allowed] : ModuleTable()) {
    for (const fs::path& file : Sources(kRoot / folder)) {
      const fs::path header = fs::path(file).replace_extension(".h");
      if (file.extension() != ".cpp" || !fs::exists(header)) continue;
      std::string first;
      for (const std::string& line : Lines(file)) {
        if (line.starts_with("#include")) {
          first = line;
          break;
        }
      }
      // Highway compiles these sources once per instruction set, through its own header.
      if (first == "#include <hwy/foreach_target.h>") continue;
      ++sources;
      EXPECT_EQ(first, "#include \"" + fs::relative(header, kRoot).string() + "\"") << file;
    }
  }
  EXPECT_GT(sources, 200);
}

/// A header and its sources are one unit: "core/x" of core/x.h, core/x.cpp and core/x-inl.h.
std::string UnitOf(const std::string& path) {
  std::string unit = path.substr(0, path.rfind('.'));
  if (unit.ends_with("-inl")) unit.resize(unit.size() - 4);
  return unit;
}

TEST(TreeTest, NoUnitIncludesItselfThroughOthers) {
  std::map<std::string, std::set<std::string>> includes;
  for (const char* folder : {"core",
                             "runtime",
                             "kernels",
                             "planner",
                             "db",
                             "profiler",
                             "tuner",
                             "replay",
                             "reports",
                             "bench",
                             "tests"}) {
    for (const fs::path& file : Sources(kRoot / folder)) {
      const std::string unit = UnitOf(fs::relative(file, kRoot).string());
      for (const std::string& line : Lines(file)) {
        if (!line.starts_with("#include \"")) continue;
        const std::string path = line.substr(10, line.find('"', 10) - 10);
        if (UnitOf(path) != unit && fs::exists(kRoot / path)) includes[unit].insert(UnitOf(path));
      }
    }
  }
  ASSERT_GT(includes.size(), 200U);
  // A unit is removed once everything that it includes is removed; what remains is in a cycle, or
  // includes one.
  std::map<std::string, std::set<std::string>> left = includes;
  for (bool removed = true; removed;) {
    removed = false;
    for (auto unit = left.begin(); unit != left.end();) {
      std::erase_if(unit->second, [&](const std::string& other) { return !left.contains(other); });
      removed |= unit->second.empty();
      unit = unit->second.empty() ? left.erase(unit) : std::next(unit);
    }
  }
  for (const auto& [unit, others] : left) {
    for (const std::string& other : others) ADD_FAILURE() << unit << " includes " << other;
  }
}

}  // namespace
