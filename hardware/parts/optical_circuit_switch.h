// SPDX-License-Identifier: Apache-2.0
// An optical circuit switch: each input is joined to one output, without buffers or delay. The messages are the
// schedule: the first one for another output waits until input and output have carried their last bits, then both are
// dark for the reconfiguration time. Light that it takes away counts in the link budget, not here.
#pragma once

#include <cstdint>
#include <map>

#include "hardware/spec/fabric_spec.h"

namespace lightcone::hardware {

class OpticalCircuitSwitch {
 public:
  explicit OpticalCircuitSwitch(const CircuitSwitchSpec& spec)
      : reconfiguration_ps_(to_picoseconds(spec.reconfiguration).count()) {}

  // When the circuit from `input` to `output` stands for light that comes at `now_ps`; sets it when it does not.
  std::uint64_t connect(std::uint32_t input, std::uint32_t output, std::uint64_t now_ps);
  // The circuit carries bits until `end_ps`.
  void hold(std::uint32_t input, std::uint32_t output, std::uint64_t end_ps);
  [[nodiscard]] std::uint64_t reconfigurations() const { return reconfigurations_; }

 private:
  struct Port {
    std::uint32_t partner = 0;
    std::uint64_t free_ps = 0;
    bool joined = false;
  };
  std::map<std::uint32_t, Port> inputs_, outputs_;
  std::uint64_t reconfiguration_ps_;
  std::uint64_t reconfigurations_ = 0;
};

}  // namespace lightcone::hardware
