// SPDX-License-Identifier: Apache-2.0
#include "scenarios/run/evaluate_kernels.h"

#include <map>
#include <utility>

#include "sim/observe/kernel_result_io.h"

namespace lightcone::scenarios {
namespace {

// The distinct programs among many: `unique[i]` is a position in the list, `slot[p]` the unique number of program p.
struct Folded {
  std::vector<std::size_t> unique;
  std::vector<std::size_t> slot;
};

Folded fold(const std::vector<std::string>& hashes) {
  Folded folded;
  std::map<std::string, std::size_t> seen;
  for (std::size_t p = 0; p < hashes.size(); ++p) {
    const auto [entry, is_new] = seen.emplace(hashes[p], folded.unique.size());
    if (is_new) folded.unique.push_back(p);
    folded.slot.push_back(entry->second);
  }
  return folded;
}

void evaluate_here(const hardware::TileProgram& program, const hardware::GpuSpec& gpu,
                   const hardware::EvaluateOptions& options, const KernelFunction& function, EvaluatedKernel& kernel) {
  try {
    kernel.result = function(program, gpu, options);
  } catch (const std::exception& error) {
    kernel.error = error.what();
  }
}

}  // namespace

std::vector<EvaluatedKernel> evaluate_kernels(const std::vector<hardware::TileProgram>& programs,
                                              const hardware::GpuSpec& gpu, const std::string& gpu_hash,
                                              const EvaluationSettings& settings, const Workbench& bench) {
  std::vector<std::string> hashes;
  for (const hardware::TileProgram& program : programs) hashes.push_back(content_hash(program));
  const Folded folded = fold(hashes);
  std::vector<EvaluatedKernel> kernels(folded.unique.size());
  std::vector<std::size_t> missing;
  std::vector<std::string> keys(kernels.size());
  const bool cycle = settings.fidelity == Evaluator::cycle;
  for (std::size_t k = 0; k < kernels.size(); ++k) {
    EvaluatedKernel& kernel = kernels[k];
    kernel.hash = hashes[folded.unique[k]];
    if (!cycle) {
      InterruptGuard::check();
      evaluate_here(programs[folded.unique[k]], gpu, settings.options, bench.evaluators.analytical, kernel);
      continue;
    }
    keys[k] = kernel_key(kernel.hash, gpu_hash, settings.fidelity, settings.options);
    if (auto found = bench.store.get(keys[k])) {
      kernel.result = *std::move(found);
      kernel.from_store = true;
    } else {
      missing.push_back(k);
    }
  }
  if (!missing.empty()) bench.progress.start("kernels simulated", missing.size());
  bench.pool.run(
      missing.size(),
      [&](std::size_t job) {
        const hardware::TileProgram& program = programs[folded.unique[missing[job]]];
        return serialise(bench.evaluators.cycle(program, gpu, settings.options));
      },
      [&](std::size_t job, JobOutcome&& outcome) {
        EvaluatedKernel& kernel = kernels[missing[job]];
        std::optional<KernelResult> result;
        if (outcome.ok) result = parse_kernel_result(outcome.payload);
        if (result) {
          kernel.result = *std::move(result);
          bench.store.put(keys[missing[job]], kernel.result);
        } else {
          kernel.error = outcome.ok ? "the simulating process sent an unreadable result" : outcome.error;
        }
        bench.progress.advance(!kernel.error.empty());
      });
  bench.progress.finish();
  std::vector<EvaluatedKernel> all;
  all.reserve(programs.size());
  for (std::size_t p = 0; p < programs.size(); ++p) all.push_back(kernels[folded.slot[p]]);
  return all;
}

}  // namespace lightcone::scenarios
