// SPDX-License-Identifier: Apache-2.0
// The list of numbers outside the machine files against the code that holds them.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "catch.h"
#include "scenarios/run/model_constants.h"
#include "scenarios/run_values.h"

using namespace lightcone;
using namespace lightcone::scenarios;

namespace {

const std::filesystem::path kRoot = LIGHTCONE_SOURCE_DIR;

std::string text_of(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// The names of the constants of a source that its comments call fitted: by the comment at the end of their line, or by
// the comment lines right above them.
std::vector<std::string> fitted_constants(const std::string& text) {
  static const std::regex fitted("calibrat|fitted|[Mm]easured"), declared("constexpr [^=]*?\\b(k\\w+)[ ={]");
  std::vector<std::string> names;
  std::istringstream lines(text);
  std::string comment;
  for (std::string line; std::getline(lines, line);) {
    const std::size_t slashes = line.find("//");
    const std::string code = line.substr(0, slashes);
    if (slashes != std::string::npos) comment += line.substr(slashes);
    std::smatch found;
    if (std::regex_search(code, found, declared) && std::regex_search(comment, fitted)) names.push_back(found[1]);
    if (code.find_first_not_of(' ') != std::string::npos) comment.clear();
  }
  return names;
}

bool listed(const std::string& name) {
  return std::any_of(model_constants().begin(), model_constants().end(),
                     [&](const ModelConstant& constant) { return constant.name == name; });
}

}  // namespace

TEST_CASE("constants that comments call fitted are found") {
  REQUIRE(fitted_constants("constexpr double kA = 1;  // calibrated: x\nconstexpr int kB = 2;\n// Measured.\n// More.\n"
                           "constexpr int kC{3};\nint x;\nconstexpr int kD = 1;  // plain\n") ==
          std::vector<std::string>{"kA", "kC"});
}

TEST_CASE("each listed constant stands in its file with that value") {
  for (const ModelConstant& constant : model_constants()) {
    CAPTURE(constant.file, constant.name, constant.value);
    std::string value(constant.value);
    value = std::regex_replace(value, std::regex("[*.]"), "\\$&");
    const std::regex declaration("constexpr [^;]*\\b" + std::string(constant.name) + "( = |\\{)" + value + "[;,}]");
    REQUIRE(std::regex_search(text_of(kRoot / constant.file), declaration));
    const bool tagged = constant.source.rfind("calibrated: ", 0) == 0 || constant.source.rfind("assumed: ", 0) == 0;
    REQUIRE(tagged);
  }
}

TEST_CASE("no constant of the machine or the mapping is fitted in silence") {
  // Lists of shapes: which tiles a library has. They decide what runs, and are not numbers of the model.
  const std::vector<std::string> shapes{"kMmaSyncShapes"};
  int seen = 0;
  for (const char* folder : {"hardware/machine", "hardware/parts", "hardware/power", "scenarios/mapping"}) {
    for (const auto& entry : std::filesystem::directory_iterator(kRoot / folder)) {
      for (const std::string& name : fitted_constants(text_of(entry.path()))) {
        CAPTURE(entry.path().string(), name);
        ++seen;
        CHECK((listed(name) || std::find(shapes.begin(), shapes.end(), name) != shapes.end()));
      }
    }
  }
  CHECK(seen > 0);
}

TEST_CASE("a run's provenance holds the model's constants beside the machine's parameters") {
  const RunResult result = test::summarised(test::example());
  for (const ModelConstant& constant : model_constants()) {
    const auto& list =
        constant.source.rfind("calibrated", 0) == 0 ? result.provenance.calibrated : result.provenance.assumed;
    CHECK(std::count(list.begin(), list.end(), shown(constant)) == 1);
  }
}
