// SPDX-License-Identifier: Apache-2.0
// lightcone describe: what a catalog entry says, with the source of every parameter.
#include <fmt/core.h>

#include "hardware/spec/load.h"
#include "scenarios/cli/commands.h"

namespace lightcone::scenarios {

int describe_command(const Options& options) {
  const hardware::MachineSpec machine = hardware::load_machine(options.inputs.front());
  const hardware::GpuSpec& gpu = machine.gpu;
  fmt::print("{}: {}\n", machine.name, gpu.name);
  fmt::print("  {} SMs at {:.0f} MHz, L2 {:.0f} MiB, {} {:.0f} GB at {:.0f} GB/s, {:.0f} W\n", gpu.sm_count,
             gpu.clock.boost.count() / 1e6, gpu.l2.capacity.real() / (1 << 20), gpu.hbm.generation,
             gpu.hbm.capacity.real() / 1e9, gpu.hbm.peak().count() / 1e9, gpu.power.limit.count());
  for (const auto& [format, rate] : gpu.sm.tensor.flops_per_clock) {
    fmt::print("  tensor {:<9} {:7.1f} TFLOP/s dense\n", name(format),
               rate * gpu.sm_count * gpu.clock.boost.count() / 1e12);
  }
  fmt::print("Parameters and where they come from:\n");
  for (const hardware::ParameterSource& source : gpu.sources) fmt::print("  {:<52} {}\n", source.path, source.source);
  return 0;
}

}  // namespace lightcone::scenarios
