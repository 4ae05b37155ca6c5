// SPDX-License-Identifier: Apache-2.0
// The commands of lightcone-gpu. Both return an exit code and throw ConfigError, RunError.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lightcone::models::cuda {

struct CheckOptions {
  std::uint64_t seed = 7;
  std::string out;  // empty: tests/measured/check_GPU.json of the source tree
};
// Runs every primitive over its cases; 1 when one is wrong.
int check_command(const CheckOptions& options);

struct MeasureOptions {
  bool quick = false, list = false;
  std::vector<std::string> ops;  // empty: all and the microbenchmarks; "micro": these
  std::string out;               // empty: measured_GPU.csv here
};
int measure_command(const MeasureOptions& options);

}  // namespace lightcone::models::cuda
