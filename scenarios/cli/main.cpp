// SPDX-License-Identifier: Apache-2.0
// The program: one command, its exit code. 0 done, 1 a run or points failed, 2 the input is wrong, 130 interrupted.
#include <fmt/core.h>

#include <cstdlib>
#include <string>
#include <variant>
#include <vector>

#include "scenarios/cli/commands.h"
#include "scenarios/run/process_pool.h"
#include "sim/base/error.h"

// libsystemc refers to sc_main; the program has its own main and starts the kernel itself.
extern "C" int sc_main(int, char**);
extern "C" int sc_main(int, char**) { return 0; }

int main(int argc, char** argv) {
  setenv("SYSTEMC_DISABLE_COPYRIGHT_MESSAGE", "1", 1);  // NOLINT: before any thread or simulation
  using namespace lightcone;
  const auto parsed = scenarios::parse_command_line(std::vector<std::string>(argv + 1, argv + argc));
  if (const auto* early = std::get_if<scenarios::EarlyExit>(&parsed)) {
    fmt::print("{}", early->out);
    fmt::print(stderr, "{}", early->error);
    return early->code;
  }
  try {
    return scenarios::run_the_command(std::get<scenarios::Options>(parsed));
  } catch (const ConfigError& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 2;
  } catch (const scenarios::Interrupted& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 130;
  } catch (const std::exception& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return 1;
  }
}
