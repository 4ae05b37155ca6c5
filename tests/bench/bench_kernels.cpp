// SPDX-License-Identifier: Apache-2.0
// CPU seconds and memory of single kernels at cycle fidelity, each in a process of its own, and of the closed form.
// Prints figures; judges nothing. Run on a quiet machine: build target `bench_kernels`.
#include <fmt/core.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include "hardware/machine/evaluate.h"
#include "hardware/spec/load.h"
#include "scenarios/mapping/map_operator.h"

using namespace lightcone;

namespace {

struct Case {
  std::string name;
  models::Operator op;
};

std::vector<Case> cases() {
  models::Attention prefill;
  prefill.batch = 16;
  prefill.heads = prefill.kv_heads = 32;
  prefill.q_len = prefill.kv_len = 1024;
  prefill.head_dim = 128;
  models::Attention decode = prefill;
  decode.batch = 32;
  decode.kv_heads = 8;
  decode.q_len = 1;
  decode.kv_len = 4096;
  return {{"gemm 4096 x 22016 x 4096 bf16", models::Gemm{4096, 22016, 4096}},
          {"gemm 32 x 28672 x 4096 bf16", models::Gemm{32, 28672, 4096}},
          {"causal prefill 16 x 1024 x 32 heads x 128", prefill},
          {"decode 32 x 4096, 32/8 heads x 128", decode},
          {"silu_mul 4096 x 14336", models::Elementwise{models::ElementwiseKind::silu_mul, 4096ull * 14336}}};
}

double cpu_seconds(const rusage& usage) {
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void cycle_fidelity(const std::string& name, const hardware::TileProgram& program, const hardware::GpuSpec& gpu) {
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    const KernelResult result = hardware::evaluate_cycle(program, gpu);
    fmt::print("{:<44} {:>9.1f} us predicted, {:>5.1f} % played", name, result.time.count() * 1e6,
               100 * result.simulated_fraction);
    std::fflush(stdout);
    _exit(0);
  }
  int status = 0;
  rusage usage{};
  wait4(child, &status, 0, &usage);
  fmt::print(", {:.2f} CPU-seconds, {} MB\n", cpu_seconds(usage), usage.ru_maxrss / 1024);
}

void closed_form(const std::string& name, const hardware::TileProgram& program, const hardware::GpuSpec& gpu) {
  constexpr int kRepeats = 2000;
  const std::clock_t start = std::clock();
  for (int i = 0; i < kRepeats; ++i) hardware::evaluate_analytical(program, gpu);
  const double each = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC / kRepeats;
  fmt::print("{:<44} {:>9.1f} us of CPU for the closed form\n", name, each * 1e6);
}

}  // namespace

int main() {
  setenv("SYSTEMC_DISABLE_COPYRIGHT_MESSAGE", "1", 1);  // NOLINT: single-threaded
  const hardware::GpuSpec gpu = hardware::load_machine("h100_sxm").gpu;
  for (const Case& c : cases()) {
    const scenarios::KernelSequence sequence = scenarios::map_operator(c.op, gpu);
    cycle_fidelity(c.name, sequence.kernels.back(), gpu);
    closed_form(c.name, sequence.kernels.back(), gpu);
  }
  return 0;
}
