// SPDX-License-Identifier: Apache-2.0
#include "catch.h"
#include "sim/observe/message_result_io.h"

using namespace lightcone;

TEST_CASE("the result of a collective survives the way to bytes and back, field by field") {
  MessageResult before;
  before.program = "all_reduce_ring_simple_24ch";
  before.evaluator = Evaluator::cycle;
  before.time = Seconds(1e-3);
  before.start = Seconds(2e-6);
  before.longest_compute = Seconds(3e-4);
  before.bound_by = "link nvlink4";
  before.links = {{"nvlink4", 16, Bytes(17), 0.9, Joules(0.5)}, {"pcie5", 2, Bytes(3), 0.1, Joules(0.25)}};
  before.messages = 4;
  before.payload = Bytes(5);
  before.memory_read = Bytes(6);
  before.memory_written = Bytes(7);
  before.sms = 24;
  before.simulated_fraction = 0.125;
  before.energy = Joules(0.75);
  const auto after = parse_message_result(serialise(before));
  REQUIRE(after);
  REQUIRE(serialise(*after) == serialise(before));
  REQUIRE(after->program == before.program);
  REQUIRE(after->evaluator == Evaluator::cycle);
  REQUIRE(after->time == before.time);
  REQUIRE(after->start == before.start);
  REQUIRE(after->longest_compute == before.longest_compute);
  REQUIRE(after->bound_by == before.bound_by);
  REQUIRE(after->links.size() == 2);
  REQUIRE(after->links[1].kind == "pcie5");
  REQUIRE(after->links[0].wire == Bytes(17));
  REQUIRE(after->links[0].links == 16);
  REQUIRE(after->links[0].busiest == 0.9);
  REQUIRE(after->links[1].energy == Joules(0.25));
  REQUIRE(after->messages == 4);
  REQUIRE(after->payload == Bytes(5));
  REQUIRE(after->memory_read == Bytes(6));
  REQUIRE(after->memory_written == Bytes(7));
  REQUIRE(after->sms == 24);
  REQUIRE(after->simulated_fraction == 0.125);
  REQUIRE(after->energy == before.energy);
  REQUIRE_FALSE(parse_message_result("not a message"));
  REQUIRE_FALSE(parse_message_result(""));
}
