// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/choose_gemm.h"

#include <fmt/core.h>

#include <limits>

#include "scenarios/mapping/gemm_program.h"
#include "sim/base/error.h"

namespace lightcone::scenarios {

using namespace hardware;

KernelSequence choose_gemm(const GemmProblem& problem, const GpuSpec& gpu, const MappingOptions& options) {
  const std::vector<GemmPlan> plans = gemm_plans(problem, gpu, options.gemm_tiles);
  EvaluateOptions evaluate;
  evaluate.launch = options.launch;
  evaluate.timeline = false;
  double best = std::numeric_limits<double>::infinity();
  KernelSequence chosen;
  std::string chosen_name;
  for (const GemmPlan& plan : plans) {
    std::vector<TileProgram> kernels = gemm_program(problem, plan, gpu);
    if (occupancy(kernels.front(), gpu.sm) == 0) continue;
    double time = 0;
    for (const TileProgram& kernel : kernels) time += evaluate_analytical(kernel, gpu, evaluate).time.count();
    if (time >= best) continue;
    best = time;
    chosen.kernels = std::move(kernels);
    chosen_name = plan_name(problem, plan);
  }
  if (chosen.kernels.empty()) throw ConfigError(gpu.name + ": no GEMM kernel fits one of its SMs");
  chosen.note =
      fmt::format("{} {} of {} plans, {:.2f} us predicted", problem.kind, chosen_name, plans.size(), best * 1e6);
  return chosen;
}

}  // namespace lightcone::scenarios
