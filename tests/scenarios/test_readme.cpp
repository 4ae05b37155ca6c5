// SPDX-License-Identifier: Apache-2.0
// What the README shows must work: its commands are run, in their quick form, and its files must be there.
#include <filesystem>
#include <regex>
#include <sstream>
#include <vector>

#include "catch.h"
#include "program.h"

using namespace lightcone;
namespace fs = std::filesystem;

namespace {

const fs::path kRoot = LIGHTCONE_SOURCE_DIR;

// The arguments of every line that shows a command.
std::vector<std::string> commands() {
  std::vector<std::string> found;
  std::istringstream in(test::read_file(kRoot / "README.md"));
  const std::string start = "    ./lightcone ";
  for (std::string line; std::getline(in, line);) {
    if (line.rfind(start, 0) == 0) found.push_back(line.substr(start.size()));
  }
  return found;
}

}  // namespace

TEST_CASE("the commands of the README run") {
  const test::Program lightcone;
  const std::vector<std::string> shown = commands();
  REQUIRE(shown.size() >= 4);
  REQUIRE(shown[0] == "run scenarios/files/llama3_8b_h100.textproto");
  REQUIRE(shown[1] == "test");
  int number = 0;
  for (std::string arguments : shown) {
    if (arguments == "test") continue;  // this is it
    arguments = std::regex_replace(arguments, std::regex("runs/"), lightcone.folder().string() + "/runs/");
    if (arguments.rfind("run ", 0) == 0 || arguments.rfind("sweep ", 0) == 0) {
      if (arguments.find("--fidelity") == std::string::npos) arguments += " --fidelity analytical";
      arguments += " --no-plots";
      if (arguments.find("--out") == std::string::npos) {
        arguments += " --out " + (lightcone.folder() / std::to_string(++number)).string();
      }
    }
    INFO(arguments);
    const test::Outcome outcome = lightcone(arguments);
    INFO(outcome.error);
    CHECK(outcome.code == 0);
  }
}

TEST_CASE("the files and folders that the README names are there") {
  const std::string text = test::read_file(kRoot / "README.md");
  static const std::regex path("`((?:sim|models|hardware|workloads|scenarios|analysis|tests)/[A-Za-z0-9_./]+)`");
  int found = 0;
  for (auto match = std::sregex_iterator(text.begin(), text.end(), path); match != std::sregex_iterator(); ++match) {
    const std::string name = (*match)[1];
    INFO(name);
    CHECK(fs::exists(kRoot / name));
    ++found;
  }
  REQUIRE(found > 10);
}

TEST_CASE("the README is short, and every folder has one of its own") {
  const std::string text = test::read_file(kRoot / "README.md");
  REQUIRE(std::count(text.begin(), text.end(), '\n') <= 150);
  for (const char* folder : {"sim", "models", "hardware", "workloads", "scenarios", "analysis", "tests"}) {
    INFO(folder);
    CHECK(fs::exists(kRoot / folder / "README.md"));
  }
}
