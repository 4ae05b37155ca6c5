// SPDX-License-Identifier: Apache-2.0
// The shape of the tree: which folder may include which, where foreign headers are allowed, what the top level holds.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "catch.h"

namespace fs = std::filesystem;

namespace {

const fs::path kRoot = LIGHTCONE_SOURCE_DIR;

struct Include {
  std::string file;  // relative to the root
  std::string header;
  bool quoted = false;
};

bool is_source(const fs::path& path) {
  static const std::set<std::string> extensions{".cpp", ".h", ".cu", ".cuh"};
  return extensions.count(path.extension().string()) != 0;
}

std::vector<std::string> sources() {
  std::vector<std::string> files;
  for (const char* folder : {"sim", "models", "hardware", "workloads", "scenarios", "tests"}) {
    if (!fs::exists(kRoot / folder)) continue;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(kRoot / folder)) {
      if (entry.is_regular_file() && is_source(entry.path())) {
        files.push_back(fs::relative(entry.path(), kRoot).generic_string());
      }
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<Include> includes() {
  static const std::regex pattern(R"re(^\s*#\s*include\s*([<"])([^>"]+)[>"])re");
  std::vector<Include> found;
  for (const std::string& file : sources()) {
    std::ifstream in(kRoot / file);
    for (std::string line; std::getline(in, line);) {
      std::smatch match;
      if (std::regex_search(line, match, pattern)) found.push_back({file, match[2], match[1] == "\""});
    }
  }
  return found;
}

bool starts_with(const std::string& text, const std::string& prefix) { return text.rfind(prefix, 0) == 0; }

// The layer of a path: `sim/base`, `models`, ... Generated headers lie beside their .proto file.
std::string layer(const std::string& path) {
  for (const char* name : {"sim/base", "sim/observe", "sim/engine", "models", "hardware", "workloads", "scenarios"}) {
    if (starts_with(path, std::string(name) + "/")) return name;
  }
  return {};
}

const std::map<std::string, std::set<std::string>> kAllowed{
    {"sim/base", {}},
    {"sim/observe", {"sim/base"}},
    {"sim/engine", {"sim/base", "sim/observe"}},
    {"models", {"sim/base"}},
    {"hardware", {"sim/base", "sim/observe", "sim/engine"}},
    {"workloads", {"sim/base", "models"}},
    {"scenarios", {"sim/base", "sim/observe", "sim/engine", "models", "hardware", "workloads"}},
};

}  // namespace

TEST_CASE("folders include only what stands before them") {
  std::vector<std::string> wrong;
  for (const Include& include : includes()) {
    const std::string from = layer(include.file), to = layer(include.header);
    if (from.empty() || to.empty() || from == to) continue;
    if (kAllowed.at(from).count(to) == 0) wrong.push_back(include.file + " includes " + include.header);
  }
  CAPTURE(wrong);
  REQUIRE(wrong.empty());
}

TEST_CASE("project headers are included from the root of the repository") {
  std::vector<std::string> wrong;
  for (const Include& include : includes()) {
    if (!include.quoted || !layer(include.header).empty()) continue;
    if (starts_with(include.file, "tests/") && fs::exists(kRoot / "tests" / include.header)) continue;
    wrong.push_back(include.file + " includes " + include.header);
  }
  CAPTURE(wrong);
  REQUIRE(wrong.empty());
}

TEST_CASE("foreign headers stay where they belong") {
  std::vector<std::string> wrong;
  std::map<std::string, std::set<std::string>> loaders;  // folder of generated headers -> files that include them
  std::map<std::string, std::set<std::string>> cli11;    // folder of a program -> files
  for (const Include& include : includes()) {
    const std::string& header = include.header;
    const bool in_tests = starts_with(include.file, "tests/");
    if (header == "systemc" || starts_with(header, "systemc") || starts_with(header, "sysc/") || header == "tlm" ||
        starts_with(header, "tlm")) {
      if (!in_tests && layer(include.file) != "sim/engine") wrong.push_back(include.file + ": SystemC");
    }
    if (starts_with(header, "boost/graph/") && !in_tests && include.file.find("graph") == std::string::npos) {
      wrong.push_back(include.file + ": Boost.Graph");
    }
    if (starts_with(header, "CLI/")) cli11[layer(include.file)].insert(include.file);
    const bool library = starts_with(header, "google/");  // protobuf's own schemas, not ours
    if (!library && header.size() > 5 && header.compare(header.size() - 5, 5, ".pb.h") == 0) {
      loaders[fs::path(header).parent_path().generic_string()].insert(include.file);
      if (fs::path(include.file).extension() != ".cpp") wrong.push_back(include.file + ": .pb.h in a header");
    }
  }
  for (const auto& [folder, files] : loaders) {
    if (layer(folder + "/") == "scenarios" || files.size() == 1) continue;
    std::set<std::string> folders;  // its own loader, and at most one in the roof
    for (const std::string& file : files) {
      if (!folders.insert(layer(file)).second) wrong.push_back(file + ": a second loader of " + folder);
    }
  }
  for (const auto& [program, files] : cli11) {
    if (files.size() > 1) wrong.push_back(program + ": a second reader of a command line");
  }
  CAPTURE(wrong);
  REQUIRE(wrong.empty());
}

TEST_CASE("every source names its licence and every header is included once") {
  std::vector<std::string> wrong;
  for (const std::string& file : sources()) {
    std::ifstream in(kRoot / file);
    std::string first, line;
    std::getline(in, first);
    if (first != "// SPDX-License-Identifier: Apache-2.0") wrong.push_back(file + ": SPDX line");
    if (fs::path(file).extension() != ".h") continue;
    bool once = false;
    while (std::getline(in, line)) once = once || line == "#pragma once";
    if (!once && file != "tests/catch.h") wrong.push_back(file + ": #pragma once");
  }
  CAPTURE(wrong);
  REQUIRE(wrong.empty());
}

TEST_CASE("the top level holds the agreed entries only") {
  const std::set<std::string> allowed{"sim",       "models",    "hardware",       "workloads",
                                      "scenarios", "analysis",  "tests",          "README.md",
                                      "LICENSE",   "lightcone", "CMakeLists.txt", "CMakePresets.json"};
  std::vector<std::string> wrong;
  for (const fs::directory_entry& entry : fs::directory_iterator(kRoot)) {
    const std::string name = entry.path().filename().string();
    const bool made_by_a_build = starts_with(name, "build") || name == "runs" || name == "__pycache__";
    if (allowed.count(name) == 0 && name.front() != '.' && !made_by_a_build) wrong.push_back(name);
  }
  CAPTURE(wrong);
  REQUIRE(wrong.empty());
}
