// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "hardware/program/message_program.h"
#include "hardware/program/message_walk.h"

namespace lightcone::hardware {

namespace {

struct ClassTotals {
  std::vector<std::uint64_t> messages, payload;  // by peer
  std::uint64_t group_messages = 0, group_payload = 0;
  std::uint64_t read = 0, written = 0, compute = 0;
};

ClassTotals class_totals(const WorkerClass& worker_class) {
  ClassTotals out;
  for_each_step(worker_class, [&](const MessageStep& step, std::uint64_t times) {
    out.read += step.local_read.count() * times;
    out.written += step.local_written.count() * times;
    out.compute += step.compute.count() * times;
    if (step.delivery != Delivery::unicast) {
      out.group_messages += times;
      out.group_payload += step.bytes.count() * times;
    } else if (step.send != kNoPeer) {
      if (out.messages.size() <= step.send) {
        out.messages.resize(step.send + 1u);
        out.payload.resize(step.send + 1u);
      }
      out.messages[step.send] += times;
      out.payload[step.send] += step.bytes.count() * times;
    }
  });
  return out;
}

}  // namespace

// A message to a group, or a load from it, is one.
MessageTotals totals(const MessageProgram& program) {
  std::vector<ClassTotals> by_class;
  for (const WorkerClass& worker_class : program.classes) by_class.push_back(class_totals(worker_class));
  MessageTotals out;
  double wire = 0;
  std::uint64_t payload = 0, read = 0, written = 0, longest = 0;
  for (const MessageWorker& worker : program.workers) {
    const ClassTotals& mine = by_class[worker.worker_class];
    std::uint64_t sent = mine.group_payload;
    out.messages += mine.group_messages;
    for (std::size_t peer = 0; peer < mine.messages.size(); ++peer) {
      if (program.workers[worker.peers[peer]].rank == worker.rank) continue;  // never leaves the GPU
      out.messages += mine.messages[peer];
      sent += mine.payload[peer];
    }
    payload += sent;
    wire += static_cast<double>(sent) * program.classes[worker.worker_class].wire_per_payload;
    read += mine.read;
    written += mine.written;
    longest = std::max(longest, mine.compute);
  }
  out.payload = Bytes(payload);
  out.wire = Bytes(static_cast<std::uint64_t>(std::llround(wire)));
  out.local_read = Bytes(read);
  out.local_written = Bytes(written);
  out.longest_compute = Picoseconds(longest);
  return out;
}

}  // namespace lightcone::hardware
