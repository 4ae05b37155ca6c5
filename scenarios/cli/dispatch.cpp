// SPDX-License-Identifier: Apache-2.0
#include "scenarios/cli/commands.h"
#include "sim/base/error.h"

namespace lightcone::scenarios {

int run_the_command(const Options& options) {
  switch (options.command) {
    case Command::list:
      return list_command(options);
    case Command::describe:
      return describe_command(options);
    case Command::predict:
      return predict_command(options);
    case Command::validate:
      return validate_command(options);
  }
  LIGHTCONE_ASSERT(false);
}

}  // namespace lightcone::scenarios
