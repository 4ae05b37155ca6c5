// SPDX-License-Identifier: Apache-2.0
// A NIC on the way of messages: each takes its latency, and the next one follows no sooner than the NIC can take work
// requests. Bytes are limited by the links at its sides.
#pragma once

#include <algorithm>
#include <cstdint>

#include "hardware/spec/fabric_spec.h"

namespace lightcone::hardware {

class FabricNic {
 public:
  explicit FabricNic(const NicSpec& spec)
      : latency_ps_(to_picoseconds(spec.latency).count()), gap_ps_(to_picoseconds(spec.message_gap).count()) {}

  // When the first bit leaves again of a message whose first bit comes at `head_ps`.
  std::uint64_t pass(std::uint64_t head_ps) {
    const std::uint64_t start = std::max(head_ps, free_ps_);
    free_ps_ = start + gap_ps_;
    return start + latency_ps_;
  }
  [[nodiscard]] std::uint64_t latency_ps() const { return latency_ps_; }

 private:
  std::uint64_t latency_ps_, gap_ps_;
  std::uint64_t free_ps_ = 0;
};

}  // namespace lightcone::hardware
