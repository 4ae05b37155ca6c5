// SPDX-License-Identifier: Apache-2.0
// Bytes between L2 and HBM, in closed form. What is read for the first time and cold comes from HBM; what is read again
// comes from L2 as far as the footprint fits. Data that all SMs read is held by both L2 partitions, so that the useful
// capacity is one partition's. Not modelled: set conflicts, replacement order inside a wave.
#pragma once

#include <vector>

#include "hardware/machine/work_summary.h"
#include "hardware/spec/gpu_spec.h"

namespace lightcone::hardware {

struct TensorTraffic {
  double requested = 0;  // bytes that L2 sends for this tensor
  double hbm_read = 0;
  double miss_share = 0;  // of the requested bytes, from HBM
  double run_bytes = 0;   // read from one row of the matrix before the next row; 0: rows follow each other
};

struct Traffic {
  std::vector<TensorTraffic> tensors;
  double hbm_read = 0, hbm_written = 0;
  // No run of the program can move less: cold bytes touched once, and what cannot be held in all of L2.
  double compulsory = 0;
  double at_least_requested = 0;  // no run asks L2 for less (plain loads may hit in L1)
  double at_least_stored = 0;
};

Traffic memory_traffic(const TileProgram& program, const WorkSummary& work, const GpuSpec& gpu);

// Bytes per second that HBM sustains on long streams: peak less refresh and the turns between reads and writes.
BytesPerSecond sustained_bandwidth(const HbmSpec& hbm, double write_share);

// How much longer than on long streams reads take that fetch `run_bytes` from a DRAM row and go on to another: the
// requests that a controller sees at once keep only some banks busy, each for a row cycle. At least 1.
double scattered_read_cost(const HbmSpec& hbm, double run_bytes);

// Time that the kernel's traffic keeps the memory busy.
Seconds memory_time(const Traffic& traffic, const HbmSpec& hbm);

}  // namespace lightcone::hardware
