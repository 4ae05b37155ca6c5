// SPDX-License-Identifier: Apache-2.0
// The cycle machine's result of a program, simulated in a child process: the SystemC kernel is global, one simulation
// per process.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <string>

#include "hardware/machine/evaluate.h"
#include "sim/observe/kernel_result_io.h"

namespace lightcone::hardware::testing {

// The result as bytes (kernel_result_io.h); empty when the child failed.
inline std::string simulated_bytes(const TileProgram& program, const GpuSpec& gpu,
                                   const EvaluateOptions& options = {}) {
  int ends[2];
  if (pipe(ends) != 0) return {};
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    const std::string out = serialise(evaluate_cycle(program, gpu, options));
    for (std::size_t sent = 0; sent < out.size();) {
      const ssize_t n = write(ends[1], out.data() + sent, out.size() - sent);
      if (n <= 0) _exit(1);
      sent += static_cast<std::size_t>(n);
    }
    _exit(0);
  }
  close(ends[1]);
  std::string bytes;
  char part[4096];
  for (ssize_t n = 0; (n = read(ends[0], part, sizeof part)) > 0;) bytes.append(part, static_cast<std::size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return status == 0 ? bytes : std::string();
}

// Nothing when the child failed.
inline std::optional<KernelResult> simulate(const TileProgram& program, const GpuSpec& gpu,
                                            const EvaluateOptions& options = {}) {
  return parse_kernel_result(simulated_bytes(program, gpu, options));
}

inline EvaluateOptions exact() {
  EvaluateOptions options;
  options.exact = true;
  options.timeline = false;
  return options;
}

}  // namespace lightcone::hardware::testing
