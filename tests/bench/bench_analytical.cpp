// SPDX-License-Identifier: Apache-2.0
// Host time of one closed-form evaluation, for kernels of different kinds. Prints one line per kernel.
#include <fmt/core.h>

#include <chrono>

#include "hardware/example_gpus.h"
#include "hardware/machine/evaluate.h"
#include "scenarios/mapping/map_operator.h"

using namespace lightcone;

int main() {
  const hardware::GpuSpec gpu = hardware::example_h100();
  const std::vector<models::Operator> operators{
      models::Gemm{4096, 4096, 4096}, models::Gemm{16, 4096, 4096}, models::Attention{1, 32, 8, 8192, 8192, 128},
      models::Attention{32, 32, 8, 1, 4096, 128}, models::Norm{models::NormKind::rms, 4096, 4096}};
  constexpr int kRepeats = 200;
  for (const models::Operator& op : operators) {
    for (const hardware::TileProgram& kernel : scenarios::map_operator(op, gpu).kernels) {
      double sum = 0;  // keeps the work from being optimised away
      const auto begin = std::chrono::steady_clock::now();
      for (int i = 0; i < kRepeats; ++i) sum += hardware::evaluate_analytical(kernel, gpu).time.count();
      const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begin;
      fmt::print("{:60} {:8.1f} us per evaluation, {:4} groups, {:8} CTAs, predicts {:.1f} us\n", kernel.name,
                 took.count() / kRepeats, kernel.groups.size(), kernel.cta_count(), sum / kRepeats * 1e6);
    }
  }
  return 0;
}
