// SPDX-License-Identifier: Apache-2.0
// What the user asked for, as plain values: the command line is parsed once, here, and no command sees the parser.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "scenarios/run/validation_table.h"
#include "sim/observe/kernel_result.h"

namespace lightcone::scenarios {

enum class Command : std::uint8_t { run, sweep, list, describe, check, explain, predict, validate, import, report };

struct Options {
  Command command = Command::run;
  std::vector<std::string> inputs;  // files, folders or names, as the command takes them

  std::vector<std::string> overrides;  // --set path=value, in order
  Evaluator fidelity = Evaluator::cycle;
  bool exact = false;  // no sampling of the steady state
  std::optional<std::filesystem::path> out;
  bool json = false;
  bool quiet = false;
  unsigned jobs = 0;  // processes at once; 0: one per core
  bool no_plots = false;

  // import: the model's name and what its file cites; empty: taken from the configuration
  std::string name;
  std::string source;

  // predict and validate
  std::string machine = "auto";
  std::optional<std::uint64_t> sample;  // points drawn from all input files together
  std::uint64_t seed = 1;
  MeasuredHalf half = MeasuredHalf::all;  // of the measured points, for validate
  bool plot = false;
  std::optional<std::filesystem::path> table;  // where validate writes the error table that results refer to
};

// The program ends without running a command: --help, --version, or a command line that is wrong.
struct EarlyExit {
  int code = 0;
  std::string out;    // for standard output
  std::string error;  // for standard error
};

// `arguments` without the program's name.
std::variant<Options, EarlyExit> parse_command_line(const std::vector<std::string>& arguments);

}  // namespace lightcone::scenarios
