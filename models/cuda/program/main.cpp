// SPDX-License-Identifier: Apache-2.0
// lightcone-gpu: checks the numerics of every primitive on this machine's GPU, and measures it.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "models/cuda/program/commands.h"
#include "sim/base/error.h"

int main(int argc, char** argv) {
  using namespace lightcone;
  using namespace lightcone::models::cuda;
  CLI::App app("Checks the numerics of Lightcone's primitives on a GPU, and measures the GPU", "lightcone-gpu");
  app.require_subcommand(1);

  CheckOptions check;
  CLI::App* check_app =
      app.add_subcommand("check", "Run every primitive, compare with the reference, write a recording");
  check_app->add_option("--seed", check.seed, "Of the random inputs")->capture_default_str();
  check_app->add_option("--out", check.out, "The recording (tests/measured/check_GPU.json)")->type_name("FILE");

  MeasureOptions measure;
  CLI::App* measure_app =
      app.add_subcommand("measure", "Time primitives, libraries and the machine, write a CSV table");
  measure_app->add_flag("--quick", measure.quick, "A few shapes of every op: under 4 minutes instead of 20");
  measure_app->add_flag("--list", measure.list, "Show the shapes and the time they may take; needs no GPU");
  measure_app->add_option("--ops", measure.ops, "Only these ops, or \"micro\" for the microbenchmarks")
      ->type_name("OP,...")
      ->delimiter(',');
  measure_app->add_option("--out", measure.out, "The table (measured_GPU.csv)")->type_name("FILE");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  try {
    return check_app->parsed() ? check_command(check) : measure_command(measure);
  } catch (const ConfigError& error) {
    fmt::print(stderr, "lightcone-gpu: {}\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "lightcone-gpu: {}\n", error.what());
    return 1;
  }
}
