// SPDX-License-Identifier: Apache-2.0
#include "hardware/program/message_program.h"
#include "sim/base/content_hash.h"

namespace lightcone::hardware {

namespace {

void add_step(ContentHash& hash, const MessageStep& step) {
  hash.add(step.receive).add(step.send).add(step.delivery).add(step.bytes.count());
  hash.add(step.local_read.count()).add(step.local_written.count()).add(step.compute.count());
}

void add_class(ContentHash& hash, const WorkerClass& worker_class) {
  hash.add(worker_class.blocks.size());
  for (const MessageBlock& block : worker_class.blocks) {
    hash.add(block.repeat).add(block.segments.size());
    for (const MessageSegment& segment : block.segments) {
      hash.add(segment.repeat).add(segment.steps.size());
      for (const MessageStep& step : segment.steps) add_step(hash, step);
    }
  }
  hash.add(worker_class.rate.count())
      .add(worker_class.local_rate.count())
      .add(worker_class.step_overhead.count())
      .add(worker_class.slots);
  hash.add(worker_class.wire_per_payload).add(worker_class.sms);
}

void add_list(ContentHash& hash, const std::vector<std::uint32_t>& list) {
  hash.add(list.size());
  for (const std::uint32_t entry : list) hash.add(entry);
}

}  // namespace

std::string content_hash(const MessageProgram& program) {
  ContentHash hash;
  hash.add(program.name);
  add_list(hash, program.gpus);
  hash.add(program.classes.size());
  for (const WorkerClass& worker_class : program.classes) add_class(hash, worker_class);
  hash.add(program.workers.size());
  for (const MessageWorker& worker : program.workers) {
    hash.add(worker.rank).add(worker.worker_class).add(worker.path).add(worker.group);
    add_list(hash, worker.peers);
  }
  hash.add(program.groups.size());
  for (const std::vector<std::uint32_t>& group : program.groups) add_list(hash, group);
  hash.add(program.start.count());
  add_list(hash, program.symmetry);
  return hash.hex();
}

}  // namespace lightcone::hardware
