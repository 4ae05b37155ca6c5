// SPDX-License-Identifier: Apache-2.0
// The program: parse, run the command, turn every kind of failure into a message and an exit code.
#include <fmt/core.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>

#include "scenarios/cli/commands.h"
#include "scenarios/cli/session.h"
#include "scenarios/run/process_pool.h"
#include "sim/base/error.h"

// libsystemc refers to sc_main; the program has its own main and starts the kernel itself.
extern "C" int sc_main(int, char**);
extern "C" int sc_main(int, char**) { return 0; }

namespace lightcone::scenarios {

namespace {

int dispatch(const Options& options) {
  switch (options.command) {
    case Command::run:
      return run_command(options);
    case Command::sweep:
      return sweep_command(options);
    case Command::list:
      return list_command(options);
    case Command::describe:
      return describe_command(options);
    case Command::check:
      return check_command(options);
    case Command::explain:
      return explain_command(options);
    case Command::predict:
      return predict_command(options);
    case Command::validate:
      return validate_command(options);
    case Command::import:
      return import_command(options);
    case Command::report:
      return report_command(options);
  }
  return 2;
}

int fail(int code, const char* message) {
  fmt::print(stderr, "lightcone: {}\n", message);
  return code;
}

int main_with_errors(const std::vector<std::string>& arguments) {
  const auto parsed = parse_command_line(arguments);
  if (const auto* exit = std::get_if<EarlyExit>(&parsed)) {
    print(exit->out);
    std::fputs(exit->error.c_str(), stderr);
    return exit->code;
  }
  return dispatch(std::get<Options>(parsed));
}

}  // namespace

}  // namespace lightcone::scenarios

int main(int argc, char** argv) {
  using namespace lightcone;
  using namespace lightcone::scenarios;
  setenv("SYSTEMC_DISABLE_COPYRIGHT_MESSAGE", "1", 1);  // its banner would stand in front of every message
  try {
    return main_with_errors({argv + 1, argv + argc});
  } catch (const ConfigError& error) {
    return fail(2, error.what());
  } catch (const Interrupted& error) {
    return fail(130, error.what());
  } catch (const std::bad_alloc&) {
    return fail(1, "out of memory");
  } catch (const std::exception& error) {
    return fail(1, error.what());
  }
}
