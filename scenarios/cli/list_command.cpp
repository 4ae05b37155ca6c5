// SPDX-License-Identifier: Apache-2.0
// lightcone list: what the catalogs hold, a line each.
#include <fmt/core.h>

#include "hardware/spec/load.h"
#include "scenarios/cli/commands.h"

namespace lightcone::scenarios {

int list_command(const Options& options) {
  if (options.inputs.front() == "machines") {
    for (const std::string& name : hardware::list_machines()) {
      const hardware::GpuSpec gpu = hardware::load_machine(name).gpu;
      fmt::print("{:<18} {}: {} SMs, {:.0f} GB/s {}\n", name, gpu.name, gpu.sm_count, gpu.hbm.peak().count() / 1e9,
                 gpu.hbm.generation);
    }
  }
  return 0;
}

}  // namespace lightcone::scenarios
