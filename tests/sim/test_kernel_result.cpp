// SPDX-License-Identifier: Apache-2.0
#include "catch.h"
#include "scenarios/kernel_values.h"
#include "sim/observe/kernel_result_io.h"

using namespace lightcone;

TEST_CASE("a kernel result survives the way to bytes and back, field by field") {
  const KernelResult before = test::distinct_result();
  const std::string bytes = serialise(before);
  const auto after = parse_kernel_result(bytes);
  REQUIRE(after);
  REQUIRE(serialise(*after) == bytes);
  REQUIRE(after->program == before.program);
  REQUIRE(after->evaluator == Evaluator::cycle);
  REQUIRE(after->time == before.time);
  REQUIRE(after->launch == before.launch);
  REQUIRE(after->clock == before.clock);
  REQUIRE(after->cycles == before.cycles);
  REQUIRE(after->bounds.issue == Seconds(4e-4));
  REQUIRE(after->bounds.launch == Seconds(8e-6));
  REQUIRE(after->reason_cycles == before.reason_cycles);
  REQUIRE(after->work.mma_useful == Flops(12));
  REQUIRE(after->work.l2_hit == Bytes(18));
  REQUIRE(after->work.hbm_written == Bytes(20));
  REQUIRE(after->work.ctas == 21);
  REQUIRE(after->energy.total() == before.energy.total());
  REQUIRE(after->energy.sm == Joules(0.7));
  REQUIRE(after->simulated_fraction == 0.25);
  REQUIRE(after->timeline.size() == 2);
  REQUIRE(after->timeline[1].fp32 == 0.8);
}

TEST_CASE("bytes that are no kernel result are refused") {
  REQUIRE_FALSE(parse_kernel_result("not a message"));
  REQUIRE_FALSE(parse_kernel_result(""));  // no cycle reasons
  const std::string bytes = serialise(test::distinct_result());
  REQUIRE_FALSE(parse_kernel_result(bytes.substr(0, bytes.size() / 2)));
}

TEST_CASE("the resource with the largest bound limits, unless it explains less than half of the time") {
  KernelResult r = test::distinct_result();  // 1 ms, HBM bound 0.7 ms
  REQUIRE(r.bound_by() == "hbm");
  r.time = Seconds(1.5e-3);
  REQUIRE(r.bound_by() == "latency");
  REQUIRE(r.top_reason() == CycleReason::communication);  // the last, of which there is most
}
