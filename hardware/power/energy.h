// SPDX-License-Identifier: Apache-2.0
// Energy of one kernel from its counted work: picojoules per FLOP and per byte, plus power that is drawn for as long as
// the kernel runs. Dynamic energy on the SM supply (tensor, vector, shared memory, L2, SM activity) scales with voltage
// squared; HBM has its own supply. Not modelled: temperature, data toggling (random data is assumed), voltage droop.
#pragma once

#include <array>

#include "hardware/spec/gpu_spec.h"
#include "sim/base/number_format.h"
#include "sim/base/units.h"
#include "sim/observe/kernel_result.h"

namespace lightcone::hardware {

// Executed tensor-core FLOPs by operand format.
using FormatFlops = std::array<Flops, kNumberFormats.size()>;

// (V / V at the reference clock)^2 at this SM clock. It goes on rising above the reference: a higher clock needs a
// higher voltage. Not modelled: the floor and the ceiling of the supply.
double voltage_squared(const GpuSpec& gpu, Hertz clock);

// What `active_sms` SMs draw for having a CTA, on average, whatever it does.
Watts active_sm_power(const GpuSpec& gpu, double active_sms, Hertz clock);

// `active_sms`: average number of SMs with a resident CTA during `time`. A format without an energy in the machine file
// counts as the nearest listed one of its width or wider.
EnergyBreakdown energy_of(const WorkCounters& work, const FormatFlops& executed, Seconds time, Hertz clock,
                          double active_sms, const GpuSpec& gpu);

}  // namespace lightcone::hardware
