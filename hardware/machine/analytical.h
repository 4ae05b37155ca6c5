// SPDX-License-Identifier: Apache-2.0
// The closed-form evaluator (evaluate_analytical in hardware/machine/evaluate.h). It gives two things.
//
// Bounds: total work of a resource over its full rate at the boost clock, SMs evenly loaded. Tensor core: executed
// FLOPs, padding included. Shared memory: operand reads and explicit accesses. L2: bytes after multicast; what plain
// loads ask for counts once, since L1 may hold the rest. HBM: bytes that are cold, once. No machine with these rates is
// faster.
//
// Time, an estimate, in this order:
//  1. One CTA alone on its SM is played through its pipes and barriers (cta_timeline). Loads take the L2 latency and
//     their share of the way to HBM; each SM has 1/SMs of the L2 bandwidth.
//  2. R resident CTAs take the longer of that timeline and R times the demand on the busiest unit, with a soft corner.
//  3. The grid is list-scheduled on the slots (wave_schedule); persistent CTAs pay fill and prologue once.
//  4. HBM traffic (traffic) over the sustained bandwidth overlaps with the result, not perfectly (governor).
//  5. The governor lowers the clock until power fits.
// Assumed: every SM sees the same share of L2 and HBM all the time; half of the lines live in the far L2 partition;
// CTAs of a wave that share data touch it close enough in time to share it in L2; border tiles take the mean of their
// class. Not modelled: bank conflicts, hot slices, row-buffer locality, waiting of one CTA for another's semaphore.
//
// Parameters come from GpuSpec alone. The two shape constants (overlap exponent 2.5, corner exponent 4) are the same on
// every GPU.
#pragma once

#include "hardware/machine/cta_timeline.h"
#include "hardware/machine/evaluate.h"
#include "hardware/machine/traffic.h"
#include "hardware/machine/work_summary.h"

namespace lightcone::hardware {

// Cycles of an SM's units that some work occupies at full rate.
struct UnitCycles {
  double tensor = 0, tensor_issued = 0;  // at peak, and at the rate that back-to-back instructions reach
  double fp32 = 0, sfu = 0, issue = 0;
  double sfu_held = 0;  // with the time that matrix instructions hold the lanes
  double shared = 0;    // with the bytes that copies move
  double l1 = 0, copy = 0, port = 0, l2 = 0, store = 0;

  [[nodiscard]] double busiest() const;
};
UnitCycles unit_cycles(const Demand& demand, const SmView& view);

// What one SM sees when `active_sms` of them work.
SmView sm_view(const TileProgram& program, const GpuSpec& gpu, const Traffic& traffic, double active_sms,
               bool single_wave);

// The lower bounds alone.
ResourceBounds resource_bounds(const WorkSummary& work, const Traffic& traffic, const GpuSpec& gpu, LaunchMode launch);

}  // namespace lightcone::hardware
