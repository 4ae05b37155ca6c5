// SPDX-License-Identifier: Apache-2.0
#include "scenarios/step/search_plan.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <map>

#include "hardware/spec/machine_graph.h"
#include "sim/base/error.h"
#include "workloads/plan_rules.h"

namespace lightcone::scenarios {
namespace {

using models::Recomputation;
using workloads::PipelineSchedule;
using workloads::PlanSpec;

constexpr std::size_t kShown = 8;

std::string describe(const PlanCandidate& candidate) {
  constexpr std::array<const char*, 3> kRecomputed{"nothing", "norms and elementwise operators", "layers"};
  std::string text = workloads::words(candidate.plan);
  if (candidate.plan.chunks > 1) text += fmt::format(", {} chunks", candidate.plan.chunks);
  return text + fmt::format(", {} micro batches of {}, {} computed again", candidate.training.micro_batches,
                            candidate.training.batch,
                            kRecomputed.at(static_cast<std::size_t>(candidate.training.recomputation)));
}

// Schedules of `stages` stages, with chunks as long as each holds a layer.
std::vector<std::pair<PipelineSchedule, std::uint32_t>> schedules(std::uint32_t stages, std::uint64_t layers) {
  std::vector<std::pair<PipelineSchedule, std::uint32_t>> all{{PipelineSchedule::one_f_one_b, 1}};
  if (stages == 1) return all;
  all.emplace_back(PipelineSchedule::zero_bubble, 1);
  for (std::uint32_t chunks = 2; std::uint64_t{chunks} * stages <= layers + 2; chunks *= 2) {
    all.emplace_back(PipelineSchedule::interleaved, chunks);
  }
  return all;
}

class Search {
 public:
  Search(const Scenario& scenario, const std::function<void(const Scenario&)>& fits, const PriceFunction& price)
      : scenario_(scenario),
        training_(std::get<workloads::Training>(scenario.workload.phase)),
        sequences_(training_.batch * training_.micro_batches),
        fits_(fits),
        price_(price) {}

  PlanSearch run() {
    const std::uint32_t gpus = scenario_.machine.gpu_count, context = scenario_.plan.context;
    std::uint32_t domain = 1;
    if (scenario_.machine.fabric) domain = hardware::MachineGraph(*scenario_.machine.fabric).level_size(0);
    const std::uint64_t layers = workloads::layers_of(scenario_.model);
    for (std::uint32_t tensor = 1; tensor <= std::min(domain, gpus); tensor *= 2) {
      for (std::uint32_t pipeline = 1; pipeline <= std::min<std::uint64_t>(layers + 2, gpus); ++pipeline) {
        if (gpus % (tensor * context * pipeline) != 0) continue;
        for (const auto& [schedule, chunks] : schedules(pipeline, layers)) {
          for (const std::uint64_t batch : {1u, 2u, 4u, 8u}) {
            PlanCandidate candidate;
            candidate.plan = scenario_.plan;
            candidate.plan.automatic = false;
            candidate.plan.tensor = tensor;
            candidate.plan.sequence_parallel = tensor > 1;
            candidate.plan.pipeline = pipeline;
            candidate.plan.data = gpus / (tensor * context * pipeline);
            candidate.plan.schedule = schedule;
            candidate.plan.chunks = chunks;
            candidate.training = training_;
            candidate.training.batch = batch;
            consider(std::move(candidate));
          }
        }
      }
    }
    std::stable_sort(search_.priced.begin(), search_.priced.end(), [](const PlanCandidate& a, const PlanCandidate& b) {
      return a.tokens_per_second > b.tokens_per_second;
    });
    return std::move(search_);
  }

 private:
  void reject(PlanCandidate candidate, std::string why) {
    candidate.rejected = std::move(why);
    search_.rejected.push_back(std::move(candidate));
  }

  void consider(PlanCandidate candidate) {
    const std::uint64_t at_once = candidate.training.batch * candidate.plan.data;
    if (sequences_ % at_once != 0) {
      reject(std::move(candidate), fmt::format("divisibility: {} sequences over {} at once", sequences_, at_once));
      return;
    }
    candidate.training.micro_batches = sequences_ / at_once;
    const Scenario legal = with_candidate(scenario_, candidate);
    const auto faults = workloads::plan_faults(candidate.plan, legal.model, legal.workload, legal.machine.gpu_count);
    if (!faults.empty()) {
      reject(std::move(candidate), "divisibility: plan." + faults.front().field + " " + faults.front().message);
      return;
    }
    fit(candidate);
  }

  // The lowest ZeRO stage that fits the memory, with as little recomputation as lets ZeRO 1 fit.
  void fit(PlanCandidate candidate) {
    std::string why;
    const std::uint32_t least = candidate.plan.data == 1 ? 0 : 1, most = candidate.plan.data == 1 ? 0 : 3;
    bool fitted = false;
    for (const Recomputation again : {Recomputation::none, Recomputation::selective, Recomputation::full}) {
      candidate.training.recomputation = again;
      for (candidate.plan.zero = least; candidate.plan.zero <= most; ++candidate.plan.zero) {
        try {
          fits_(with_candidate(scenario_, candidate));
        } catch (const ConfigError& error) {
          why = error.what();
          continue;
        }
        candidate.tokens_per_second = price_(with_candidate(scenario_, candidate)).tokens_per_second();
        search_.priced.push_back(candidate);
        fitted = true;
        break;
      }
      if (fitted && candidate.plan.zero == least) return;
    }
    if (!fitted) reject(std::move(candidate), "memory: " + why);
  }

  const Scenario& scenario_;
  const workloads::Training& training_;
  std::uint64_t sequences_;
  const std::function<void(const Scenario&)>& fits_;
  const PriceFunction& price_;
  PlanSearch search_;
};

}  // namespace

Scenario with_candidate(const Scenario& scenario, const PlanCandidate& candidate) {
  Scenario out = scenario;
  out.plan = candidate.plan;
  out.workload.phase = candidate.training;
  return out;
}

PlanSearch search_plan(const Scenario& scenario, const std::function<void(const Scenario&)>& fits,
                       const PriceFunction& closed_form, const PriceFunction& checked, std::size_t check) {
  PlanSearch search = Search(scenario, fits, closed_form).run();
  if (search.priced.empty()) throw ConfigError("plan.auto: no plan is left\n" + search_text(search));
  const std::size_t best = std::min(check, search.priced.size());
  for (std::size_t i = 0; i < best; ++i) {
    PlanCandidate& candidate = search.priced[i];
    candidate.tokens_per_second = checked(with_candidate(scenario, candidate)).tokens_per_second();
  }
  std::stable_sort(
      search.priced.begin(), search.priced.begin() + static_cast<std::ptrdiff_t>(best),
      [](const PlanCandidate& a, const PlanCandidate& b) { return a.tokens_per_second > b.tokens_per_second; });
  return search;
}

std::string search_text(const PlanSearch& search) {
  std::string out =
      fmt::format("plans: {} priced, {} rejected before that\n", search.priced.size(), search.rejected.size());
  for (std::size_t i = 0; i < std::min(kShown, search.priced.size()); ++i) {
    const PlanCandidate& candidate = search.priced[i];
    const double slower = 100 * (1 - candidate.tokens_per_second / search.priced.front().tokens_per_second);
    out += fmt::format("  {}. {:.0f} tokens/s{}: {}\n", i + 1, candidate.tokens_per_second,
                       i == 0 ? "" : fmt::format(" (time: {:.1f} % slower)", slower), describe(candidate));
  }
  std::map<std::string, std::pair<std::size_t, const PlanCandidate*>> reasons;
  for (const PlanCandidate& candidate : search.rejected) {
    auto& [count, example] = reasons[candidate.rejected.substr(0, candidate.rejected.find(':'))];
    if (++count == 1) example = &candidate;
  }
  for (const auto& [reason, entry] : reasons) {
    out += fmt::format("  rejected for {}: {}, such as {}: {}\n", reason, entry.first, describe(*entry.second),
                       entry.second->rejected);
  }
  return out;
}

}  // namespace lightcone::scenarios
