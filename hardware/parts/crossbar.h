// SPDX-License-Identifier: Apache-2.0
// The on-chip network between SMs and L2 slices: latencies to the near and the far partition and the bandwidth of the
// link between the partitions. Ports are modelled where they are: at the SM (streaming_multiprocessor) and at the
// slice (l2_cache). Contention inside the switch is not modelled; its published figures do not allow to.
#pragma once

#include <array>

#include "hardware/parts/server.h"
#include "hardware/spec/gpu_spec.h"

namespace lightcone::hardware {

class Crossbar {
 public:
  explicit Crossbar(const NocSpec& spec) : spec_(spec) {}

  [[nodiscard]] double request_latency() const { return spec_.request_latency.real(); }
  [[nodiscard]] double response_latency() const { return spec_.response_latency.real(); }

  // A message of `bytes` that leaves partition `from` for the other one at `time`: when it arrives.
  double cross(std::uint32_t from, double time, double bytes) {
    const double rate = spec_.partition_link_bytes_per_clock;
    if (rate > 0) time = links_[from % links_.size()].serve(time, bytes / rate);
    return time + spec_.far_latency.real();
  }

 private:
  const NocSpec spec_;
  std::array<Server, 2> links_;  // one per direction
};

}  // namespace lightcone::hardware
