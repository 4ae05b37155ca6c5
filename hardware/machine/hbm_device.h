// SPDX-License-Identifier: Apache-2.0
// All HBM pseudo-channels of a GPU in their own clock domain, and the way there and back from the L2 cache.
#pragma once

#include <deque>
#include <vector>

#include "hardware/parts/hbm_address.h"
#include "hardware/parts/hbm_channel.h"
#include "hardware/spec/gpu_spec.h"
#include "sim/base/units.h"
#include "sim/engine/clock_domain.h"

namespace lightcone::hardware {

// Told when the data of a read is back at the L2 slice that asked.
class HbmListener {
 public:
  virtual ~HbmListener() = default;
  virtual void hbm_done(std::uint64_t tag, Picoseconds at) = 0;
};

class HbmDevice : public engine::DomainModel {
 public:
  HbmDevice(const HbmSpec& spec, HbmListener& listener);
  void attach(engine::ClockDomain& domain) { domain_ = &domain; }

  // A request that leaves the L2 at `time`. Reads come back through the listener with `tag`; writes do not come back.
  // Returns how many requests wait in front of the channel's queues.
  std::size_t request(std::uint64_t address, std::uint32_t bytes, bool write, std::uint64_t tag, Picoseconds time);

  engine::Wake tick(engine::Cycle now) override;

  [[nodiscard]] HbmStats stats() const;  // over all channels
  [[nodiscard]] std::uint64_t pending() const { return pending_; }

 private:
  struct Arrival {
    engine::Cycle at;
    HbmRequest request;
  };
  const Picoseconds one_way_;  // half of the controller latency, on the way in and on the way out
  HbmListener& listener_;
  engine::ClockDomain* domain_ = nullptr;
  HbmAddressMap addresses_;
  std::vector<HbmChannel> channels_;
  std::vector<std::deque<Arrival>> inbox_;
  std::vector<engine::Cycle> wake_;
  std::vector<HbmCompletion> done_;
  std::uint64_t pending_ = 0;
};

}  // namespace lightcone::hardware
