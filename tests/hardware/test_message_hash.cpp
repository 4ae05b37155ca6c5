// SPDX-License-Identifier: Apache-2.0
#include <functional>
#include <set>
#include <vector>

#include "catch.h"
#include "hardware/program/message_program.h"

using namespace lightcone;
using namespace lightcone::hardware;

TEST_CASE("the hash of a message program depends on every field") {
  MessageProgram base;
  base.name = "ring";
  base.gpus = {0, 1};
  WorkerClass worker;
  worker.name = "worker";
  worker.blocks = {{2, {{3, {{0, 0, Delivery::unicast, Bytes(1), Bytes(2), Bytes(3), Picoseconds(4)}}}}}};
  base.classes = {worker};
  base.workers = {{0, 0, 0, {1}, 0}, {1, 0, 0, {0}, 0}};
  base.groups = {{0, 1}};
  const std::vector<std::function<void(MessageProgram&)>> changes{
      [](MessageProgram&) {},
      [](MessageProgram& p) { p.name = "tree"; },
      [](MessageProgram& p) {
        p.gpus = {0, 2};
      },
      [](MessageProgram& p) { p.start = Picoseconds(1); },
      [](MessageProgram& p) {
        p.symmetry = {0, 0};
      },
      [](MessageProgram& p) {
        p.groups = {{0}, {1}};
      },
      [](MessageProgram& p) { p.workers[0].path = 1; },
      [](MessageProgram& p) { p.workers[0].group = 1; },
      [](MessageProgram& p) {
        p.workers[0].peers = {1, 0};
      },
      [](MessageProgram& p) { p.workers[1].rank = 0; },
      [](MessageProgram& p) { p.classes[0].rate = BytesPerSecond(1); },
      [](MessageProgram& p) { p.classes[0].step_overhead = Picoseconds(1); },
      [](MessageProgram& p) { p.classes[0].slots = 7; },
      [](MessageProgram& p) { p.classes[0].wire_per_payload = 2; },
      [](MessageProgram& p) { p.classes[0].sms = 1; },
      [](MessageProgram& p) { p.classes[0].local_rate = BytesPerSecond(7); },
      [](MessageProgram& p) { p.classes[0].blocks[0].repeat = 1; },
      [](MessageProgram& p) { p.classes[0].blocks[0].segments[0].repeat = 1; },
      [](MessageProgram& p) { p.classes[0].blocks[0].segments[0].steps[0].receive = kNoPeer; },
      [](MessageProgram& p) { p.classes[0].blocks[0].segments[0].steps[0].send = kNoPeer; },
      [](MessageProgram& p) { p.classes[0].blocks[0].segments[0].steps[0].delivery = Delivery::multicast; },
      [](MessageProgram& p) { p.classes[0].blocks[0].segments[0].steps[0].bytes = Bytes(9); },
      [](MessageProgram& p) { p.classes[0].blocks[0].segments[0].steps[0].local_read = Bytes(9); },
      [](MessageProgram& p) { p.classes[0].blocks[0].segments[0].steps[0].local_written = Bytes(9); },
      [](MessageProgram& p) { p.classes[0].blocks[0].segments[0].steps[0].compute = Picoseconds(9); }};
  std::set<std::string> hashes;
  for (const auto& change : changes) {
    MessageProgram program = base;
    change(program);
    hashes.insert(content_hash(program));
  }
  REQUIRE(hashes.size() == changes.size());
  REQUIRE(hashes.begin()->size() == 32);
}
