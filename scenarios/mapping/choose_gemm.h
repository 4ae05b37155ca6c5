// SPDX-License-Identifier: Apache-2.0
// The choice a GEMM library's heuristic makes: the plan with the smallest predicted time over its short list.
#pragma once

#include <string>
#include <vector>

#include "hardware/machine/evaluate.h"
#include "scenarios/mapping/gemm_problem.h"
#include "scenarios/mapping/map_operator.h"

namespace lightcone::scenarios {

// The kernels of the chosen plan (product, and reduction of a split k), preceded by the quantisation of the activations
// where the problem asks for it. Ties go to the earlier plan of the list, so the choice is deterministic.
KernelSequence choose_gemm(const GemmProblem& problem, const hardware::GpuSpec& gpu, const MappingOptions& options);

}  // namespace lightcone::scenarios
