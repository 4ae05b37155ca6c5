// SPDX-License-Identifier: Apache-2.0
// A packet switch: cut-through with a fixed latency; its output ports are the links behind it (FabricLink), which serve
// messages in the order in which their first bits arrive. It can copy a message to several ports, and add messages of
// several ports: the sum leaves when the first bits of all are there. Buffers hold what the senders' credits allow:
// a blocked output does not block other outputs.
#pragma once

#include <algorithm>
#include <cstdint>

#include "hardware/spec/fabric_spec.h"

namespace lightcone::hardware {

class FabricSwitch {
 public:
  explicit FabricSwitch(const SwitchSpec& spec) : latency_ps_(to_picoseconds(spec.latency).count()) {}

  // When the first bit is at its output.
  [[nodiscard]] std::uint64_t pass(std::uint64_t head_ps) const { return head_ps + latency_ps_; }
  [[nodiscard]] std::uint64_t latency_ps() const { return latency_ps_; }

 private:
  std::uint64_t latency_ps_;
};

// Messages that a switch adds: first bits and last bits of all inputs.
class SwitchReduction {
 public:
  void add(std::uint64_t head_ps, std::uint64_t tail_ps) {
    head_ps_ = std::max(head_ps_, head_ps);
    tail_ps_ = std::max(tail_ps_, tail_ps);
  }
  [[nodiscard]] std::uint64_t head_ps() const { return head_ps_; }
  [[nodiscard]] std::uint64_t tail_ps() const { return tail_ps_; }

 private:
  std::uint64_t head_ps_ = 0, tail_ps_ = 0;
};

}  // namespace lightcone::hardware
