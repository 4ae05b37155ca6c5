// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "catch.h"
#include "scenarios/cli/options.h"

using namespace lightcone;
using namespace lightcone::scenarios;

namespace {

Options good(const std::vector<std::string>& arguments) {
  auto parsed = parse_command_line(arguments);
  if (const auto* exit = std::get_if<EarlyExit>(&parsed)) FAIL(exit->error + exit->out);
  return std::get<Options>(parsed);
}

EarlyExit early(const std::vector<std::string>& arguments) {
  auto parsed = parse_command_line(arguments);
  REQUIRE(std::holds_alternative<EarlyExit>(parsed));
  return std::get<EarlyExit>(parsed);
}

bool says(const std::string& text, const std::string& part) {
  INFO(text);
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("run takes a scenario and the common options") {
  const Options options =
      good({"run", "a.textproto", "--set", "machine.gpu.hbm.stacks=8", "--set=workload.batch=2", "--fidelity",
            "analytical", "--exact", "--out", "folder", "--json", "--quiet", "--jobs", "3"});
  REQUIRE(options.command == Command::run);
  REQUIRE(options.inputs == std::vector<std::string>{"a.textproto"});
  REQUIRE(options.overrides == std::vector<std::string>{"machine.gpu.hbm.stacks=8", "workload.batch=2"});
  REQUIRE(options.fidelity == Evaluator::analytical);
  REQUIRE((options.exact && options.json && options.quiet));
  REQUIRE(options.jobs == 3);
  REQUIRE(*options.out == "folder");
}

TEST_CASE("an override is one value, so that a scenario may follow it") {
  const Options options = good({"run", "--set", "a=1", "b.textproto"});
  REQUIRE(options.overrides == std::vector<std::string>{"a=1"});
  REQUIRE(options.inputs == std::vector<std::string>{"b.textproto"});
}

TEST_CASE("cycle is the default fidelity") { REQUIRE(good({"run", "a"}).fidelity == Evaluator::cycle); }

TEST_CASE("validate takes several files, a sample and a seed") {
  const Options options = good({"validate", "a.csv", "b.csv", "--sample", "500", "--seed", "7", "--plot"});
  REQUIRE(options.inputs.size() == 2);
  REQUIRE(*options.sample == 500);
  REQUIRE(options.seed == 7);
  REQUIRE(options.machine == "auto");
}

TEST_CASE("help and version end well") {
  REQUIRE(early({"--help"}).code == 0);
  REQUIRE(says(early({"--help"}).out, "validate"));
  REQUIRE(early({"--version"}).out.rfind("lightcone ", 0) == 0);
  for (const char* command :
       {"run", "sweep", "list", "describe", "check", "explain", "predict", "validate", "import", "report"}) {
    const EarlyExit exit = early({command, "--help"});
    REQUIRE(exit.code == 0);
    REQUIRE(says(exit.out, "--json"));
  }
}

TEST_CASE("a wrong command line exits with 2 and says what was meant") {
  REQUIRE(early({}).code == 2);
  REQUIRE(says(early({"rnu"}).error, "did you mean \"run\""));
  REQUIRE(says(early({"validat", "x"}).error, "did you mean \"validate\""));
  REQUIRE(says(early({"run", "a", "--fidelty", "cycle"}).error, "did you mean \"--fidelity\""));
  REQUIRE(says(early({"run", "a", "--fidelty=cycle"}).error, "did you mean \"--fidelity\""));
  REQUIRE(says(early({"run", "a", "b"}).error, "too many"));
  for (const EarlyExit& exit : {early({"run"}), early({"run", "a", "--fidelity", "exact"}), early({"list", "gpus"}),
                                early({"run", "a", "--jobs", "0"}), early({"run", "a", "--jobs", "x"}),
                                early({"validate", "a.csv", "--sample", "-3"}), early({"--frobnicate"})}) {
    REQUIRE(exit.code == 2);
    REQUIRE_FALSE(exit.error.empty());
    REQUIRE(exit.out.empty());
  }
}
