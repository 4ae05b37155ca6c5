// SPDX-License-Identifier: Apache-2.0
// The search for a plan with prices of the test's own.
#include "scenarios/step/search_plan.h"

#include "catch.h"
#include "scenarios/load/load_scenario.h"
#include "sim/base/error.h"
#include "workloads/plan_rules.h"

using namespace lightcone;
using namespace lightcone::scenarios;

namespace {

Scenario scenario() {
  return load_scenario("qwen3_0_6b_training_h100",
                       {"machine=dgx_h100", "plan.auto=true", "workload.training.micro_batches=16"});
}

// Tensor ranks cost time, and so do ZeRO, recomputation and small batches.
StepResult priced(const Scenario& s) {
  const auto& training = std::get<workloads::Training>(s.workload.phase);
  StepResult result;
  result.tokens = 1000;
  result.time = Seconds(1.0 + s.plan.tensor + 0.1 * s.plan.zero + 0.3 * static_cast<double>(training.recomputation) +
                        s.plan.pipeline + 0.01 * static_cast<double>(training.micro_batches));
  return result;
}

void fits_all(const Scenario&) {}

}  // namespace

TEST_CASE("every priced plan is legal, uses all GPUs and does the same work") {
  const Scenario whole = scenario();
  const PlanSearch search = search_plan(whole, fits_all, priced, priced);
  REQUIRE(search.priced.size() > 20);
  for (const PlanCandidate& candidate : search.priced) {
    const Scenario one = with_candidate(whole, candidate);
    CHECK(workloads::plan_faults(one.plan, one.model, one.workload, 8).empty());
    CHECK(one.plan.gpus() == 8);
    CHECK(candidate.plan.data * candidate.training.batch * candidate.training.micro_batches == 64);
    CHECK(candidate.plan.zero == (candidate.plan.data > 1 ? 1 : 0));  // all fit
  }
  const PlanCandidate& best = search.priced.front();
  CHECK((best.plan.tensor == 1 && best.plan.pipeline == 1 && best.training.batch == 8));
  for (std::size_t i = 1; i < search.priced.size(); ++i) {
    CHECK(search.priced[i].tokens_per_second <= search.priced[i - 1].tokens_per_second);
  }
  CHECK(search_text(search).find("divisibility") != std::string::npos);
}

TEST_CASE("what does not fit is rejected for memory; recomputation and ZeRO are tried against it") {
  const auto needs_more = [](const Scenario& s) {
    const auto& training = std::get<workloads::Training>(s.workload.phase);
    if (s.plan.tensor == 1) throw ConfigError("too big for one");
    if (s.plan.zero < 2 && training.recomputation != models::Recomputation::full) throw ConfigError("too big");
  };
  const PlanSearch search = search_plan(scenario(), needs_more, priced, priced);
  bool sharded = false, again = false;
  for (const PlanCandidate& candidate : search.priced) {
    CHECK(candidate.plan.tensor > 1);
    if (candidate.plan.data == 1) continue;
    sharded = sharded || candidate.plan.zero == 2;
    again = again || (candidate.plan.zero == 1 && candidate.training.recomputation == models::Recomputation::full);
  }
  CHECK((sharded && again));
  CHECK(search_text(search).find("memory: too big for one") != std::string::npos);
  REQUIRE_THROWS_AS(search_plan(
                        scenario(), [](const Scenario&) { throw ConfigError("never"); }, priced, priced),
                    ConfigError);
}

TEST_CASE("the best few are checked once more, and may change places") {
  std::size_t checks = 0;
  const auto checked = [&](const Scenario& s) {
    StepResult result = priced(s);
    if (checks++ == 0) result.time = result.time * 1.5;  // the favourite turns out slow
    return result;
  };
  const PlanSearch before = search_plan(scenario(), fits_all, priced, priced);
  const PlanSearch after = search_plan(scenario(), fits_all, priced, checked, 2);
  CHECK(checks == 2);
  CHECK(after.priced[0].training.batch == before.priced[1].training.batch);
  CHECK(after.priced[1].training.batch == before.priced[0].training.batch);
}

TEST_CASE("a plan is searched for training steps only") {
  REQUIRE_THROWS_WITH(load_scenario("llama3_8b_h100", {"machine=dgx_h100", "plan.auto=true"}),
                      Catch::Contains("plan.auto") && Catch::Contains("training steps only"));
}
