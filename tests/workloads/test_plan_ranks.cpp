// SPDX-License-Identifier: Apache-2.0
#include <set>

#include "catch.h"
#include "workloads/plan_ranks.h"

using namespace lightcone;
using namespace lightcone::workloads;
using models::ParallelAxis;
using Group = std::vector<std::uint32_t>;

TEST_CASE("tensor ranks are neighbours, then context, data and pipeline") {
  PlanSpec plan;
  plan.tensor = 2;
  plan.context = 2;
  plan.data = 2;
  plan.pipeline = 2;
  plan.expert = 4;
  REQUIRE(group_of(plan, ParallelAxis::tensor) == Group{0, 1});
  REQUIRE(group_of(plan, ParallelAxis::context) == Group{0, 2});
  REQUIRE(group_of(plan, ParallelAxis::data) == Group{0, 4});
  REQUIRE(group_of(plan, ParallelAxis::pipeline) == Group{0, 8});
  REQUIRE(group_of(plan, ParallelAxis::expert) == Group{0, 1, 2, 3});
  REQUIRE(group_of(plan, ParallelAxis::tensor, 13) == Group{12, 13});
  REQUIRE(group_of(plan, ParallelAxis::context, 13) == Group{13, 15});
  REQUIRE(group_of(plan, ParallelAxis::data, 13) == Group{9, 13});
  REQUIRE(group_of(plan, ParallelAxis::pipeline, 13) == Group{5, 13});
}

TEST_CASE("the groups of an axis are all GPUs, each once") {
  PlanSpec plan;
  plan.tensor = 4;
  plan.context = 3;
  plan.data = 2;
  plan.pipeline = 2;
  plan.expert = 6;
  for (const ParallelAxis axis : {ParallelAxis::tensor, ParallelAxis::context, ParallelAxis::data,
                                  ParallelAxis::pipeline, ParallelAxis::expert}) {
    std::set<Group> groups;
    std::size_t members = 0;
    for (std::uint32_t gpu = 0; gpu < plan.gpus(); ++gpu) groups.insert(group_of(plan, axis, gpu));
    std::set<std::uint32_t> all;
    for (const Group& group : groups) {
      members += group.size();
      all.insert(group.begin(), group.end());
    }
    REQUIRE(members == plan.gpus());
    REQUIRE(all.size() == plan.gpus());
  }
}
