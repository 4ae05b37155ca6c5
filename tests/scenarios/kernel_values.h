// SPDX-License-Identifier: Apache-2.0
// A kernel result with a distinct value in every field, for the tests of what keeps and carries results.
#pragma once

#include "sim/observe/kernel_result.h"

namespace lightcone::test {

inline KernelResult distinct_result(double seed = 1) {
  KernelResult r;
  r.program = "gemm_128x256x64";
  r.evaluator = Evaluator::cycle;
  r.time = Seconds(seed * 1e-3);
  r.launch = Seconds(2e-6);
  r.clock = Hertz(1.4e9);
  r.power_limit_held = false;
  r.cycles = Cycles(1400000);
  r.bounds = {Seconds(1e-4), Seconds(2e-4), Seconds(3e-4), Seconds(4e-4),
              Seconds(5e-4), Seconds(6e-4), Seconds(7e-4), Seconds(8e-6)};
  for (std::size_t i = 0; i < kCycleReasonCount; ++i) r.reason_cycles[i] = 100.0 * static_cast<double>(i + 1);
  r.work.mma_executed = Flops(11);
  r.work.mma_useful = Flops(12);
  r.work.vector_flops = Flops(13);
  r.work.sfu_ops = 14;
  r.work.shared_bytes = Bytes(15);
  r.work.l2_read = Bytes(16);
  r.work.l2_written = Bytes(17);
  r.work.l2_hit = Bytes(18);
  r.work.hbm_read = Bytes(19);
  r.work.hbm_written = Bytes(20);
  r.work.ctas = 21;
  r.energy = {Joules(0.1), Joules(0.2), Joules(0.3), Joules(0.4), Joules(0.5), Joules(0.6), Joules(0.7)};
  r.simulated_fraction = 0.25;
  r.timeline = {{0, 10, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6}, {10, 20, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4}};
  return r;
}

}  // namespace lightcone::test
