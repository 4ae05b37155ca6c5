// SPDX-License-Identifier: Apache-2.0
#include "hardware/machine/message_ranks.h"

#include <algorithm>
#include <vector>

#include "hardware/program/message_walk.h"

namespace lightcone::hardware {

void count_ranks(const MessageProgram& program, MessageResult& result) {
  struct Sums {
    std::uint64_t read = 0, written = 0, compute = 0;
    double sms = 0;
  };
  std::vector<Sums> by_class(program.classes.size()), by_rank(program.gpus.size());
  for (std::size_t c = 0; c < by_class.size(); ++c) {
    by_class[c].sms = program.classes[c].sms;
    for_each_step(program.classes[c], [&](const MessageStep& step, std::uint64_t times) {
      by_class[c].read += step.local_read.count() * times;
      by_class[c].written += step.local_written.count() * times;
      by_class[c].compute += step.compute.count() * times;
    });
  }
  for (const MessageWorker& worker : program.workers) {
    const Sums& own = by_class[worker.worker_class];
    Sums& rank = by_rank[worker.rank];
    rank.read += own.read;
    rank.written += own.written;
    rank.sms += own.sms;
    rank.compute = std::max(rank.compute, own.compute);
  }
  for (const Sums& rank : by_rank) {
    result.memory_read = std::max(result.memory_read, Bytes(rank.read));
    result.memory_written = std::max(result.memory_written, Bytes(rank.written));
    result.sms = std::max(result.sms, rank.sms);
    result.longest_compute = std::max(result.longest_compute, to_seconds(Picoseconds(rank.compute)));
  }
}

}  // namespace lightcone::hardware
