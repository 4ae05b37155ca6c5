// SPDX-License-Identifier: Apache-2.0
// The commands of the program, one file each. They print results to standard output, everything else to standard
// error, and return the exit code: 0 done, 1 a run or points failed. Wrong input is thrown as ConfigError (2), an
// interruption as Interrupted (130); main turns them into messages.
#pragma once

#include "scenarios/cli/options.h"

namespace lightcone::scenarios {

int run_command(const Options& options);
int sweep_command(const Options& options);
int list_command(const Options& options);
int describe_command(const Options& options);
int check_command(const Options& options);
int explain_command(const Options& options);
int predict_command(const Options& options);
int validate_command(const Options& options);
int import_command(const Options& options);
int report_command(const Options& options);

}  // namespace lightcone::scenarios
