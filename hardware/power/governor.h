// SPDX-License-Identifier: Apache-2.0
// The power governor: the highest SM clock, up to boost, at which a kernel that runs back to back stays within the
// board's power limit. Steady state only: no thermal time constant, no transients between kernels.
#pragma once

#include "hardware/power/energy.h"
#include "hardware/spec/gpu_spec.h"
#include "sim/base/units.h"

namespace lightcone::hardware {

// One execution of a kernel, as far as power is concerned. Energies at the reference clock's voltage.
struct Activity {
  Joules core;             // dynamic energy on the SM supply: tensor, vector, shared memory, L2
  Joules memory;           // HBM
  double core_cycles = 0;  // SM cycles that scale with the clock
  Seconds memory_time;     // HBM time, which does not
  Seconds overhead;        // launch gap: idle power only
  double active_sms = 0;   // average SMs with a resident CTA
};

// Core and memory work overlap, but not perfectly: (core^p + memory^p)^(1/p) with p = 2.5.
Seconds overlapped(Seconds core, Seconds memory);

// The inverse: the core time that together with this memory time takes `both`; memory counts as 97 % of it at most.
Seconds core_part(Seconds both, Seconds memory);

// Time of one execution at this clock.
Seconds time_at(const Activity& activity, Hertz clock);

// Average board power while the kernel repeats at this clock.
Watts power_at(const GpuSpec& gpu, const Activity& activity, Hertz clock);

struct GovernedClock {
  Hertz clock;
  bool limit_held = true;  // false: more than the limit is drawn even at the minimum clock
};

// Within [minimum, boost], exact to 0.01 MHz; the minimum when even that exceeds the limit.
GovernedClock govern(const GpuSpec& gpu, const Activity& activity);

}  // namespace lightcone::hardware
