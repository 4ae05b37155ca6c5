// SPDX-License-Identifier: Apache-2.0
// What an evaluator says of one collective: time, what limited it, what every kind of link carried, energy. A plain
// value, as KernelResult is for a kernel.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/base/units.h"
#include "sim/observe/kernel_result.h"

namespace lightcone {

// All links of one kind (LinkSpec::name).
struct LinkUse {
  std::string kind;
  std::uint64_t links = 0;  // that carried anything
  Bytes wire;               // carried, headers and flags included, summed over the links
  double busiest = 0;       // share of the time that the busiest one was sending, 0..1
  Joules energy;            // of the bits carried, and of lasers and SerDes that are on whether or not they carry
};

struct MessageResult {
  std::string program;  // MessageProgram::name
  Evaluator evaluator = Evaluator::analytical;
  Seconds time;             // start included: until the last worker has finished
  Seconds start;            // of which before the first step
  Seconds longest_compute;  // of the rank that computes longest; time - this is exposed communication
  std::string bound_by;     // "link nvlink4", "worker", "latency", "compute"
  std::vector<LinkUse> links;
  std::uint64_t messages = 0;
  Bytes payload;
  Bytes memory_read, memory_written;  // of the busiest GPU
  double sms = 0;                     // of the busiest GPU, taken from computation
  double simulated_fraction = 1;      // of the ranks, the others folded onto them
  Joules energy;                      // of all links and switches
};

}  // namespace lightcone
