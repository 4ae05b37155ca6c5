// SPDX-License-Identifier: Apache-2.0
#include "hardware/parts/optical_circuit_switch.h"

#include <algorithm>

namespace lightcone::hardware {

std::uint64_t OpticalCircuitSwitch::connect(std::uint32_t input, std::uint32_t output, std::uint64_t now_ps) {
  Port& in = inputs_[input];
  Port& out = outputs_[output];
  const bool stands = in.joined && in.partner == output && out.joined && out.partner == input;
  if (stands) return now_ps;
  const std::uint64_t idle = std::max({now_ps, in.free_ps, out.free_ps});
  if (in.joined) outputs_[in.partner].joined = false;
  if (out.joined) inputs_[out.partner].joined = false;
  const std::uint64_t ready = idle + reconfiguration_ps_;
  in = {output, ready, true};
  out = {input, ready, true};
  ++reconfigurations_;
  return ready;
}

void OpticalCircuitSwitch::hold(std::uint32_t input, std::uint32_t output, std::uint64_t end_ps) {
  inputs_[input].free_ps = std::max(inputs_[input].free_ps, end_ps);
  outputs_[output].free_ps = std::max(outputs_[output].free_ps, end_ps);
}

}  // namespace lightcone::hardware
