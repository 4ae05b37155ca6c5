// SPDX-License-Identifier: Apache-2.0
// One direction of a bundle of links, electrical or optical: messages (trains of packets) one after the other, cut
// through: the first bit leaves the far end one latency after it entered, whatever the length. Credits are a bucket of
// the receiver's buffer that fills again within a round trip, so that a short buffer limits the rate of long messages
// and not that of short ones. An optical link differs in what it costs (LinkSpec), not in how it queues.
// Not modelled: single packets, and retransmission.
#pragma once

#include <algorithm>
#include <cstdint>

#include "hardware/spec/fabric_spec.h"
#include "sim/base/units.h"

namespace lightcone::hardware {

class FabricLink {
 public:
  FabricLink(const LinkSpec& spec, double count);  // so many links side by side

  struct Passage {
    std::uint64_t first_ps = 0, last_ps = 0;  // when the first and the last bit enter
  };
  // A message of which the first bit is here at `head_ps` and the last at `tail_ps`. While a slow sender's bits trickle
  // in, others pass between them: the link is taken for the bits, not for the waiting.
  Passage send(std::uint64_t head_ps, std::uint64_t tail_ps, std::uint64_t wire_bytes) {
    const auto service = static_cast<std::uint64_t>(static_cast<double>(wire_bytes) * ps_per_byte_ + 0.5);
    std::uint64_t first = std::max(head_ps, free_ps_);
    std::uint64_t last = first + service;
    if (credit_limited_) last = wait_for_credits(first, last, wire_bytes);
    free_ps_ = last;
    busy_ps_ += service;
    wire_bytes_ += wire_bytes;
    ++messages_;
    return {first, std::max(last, tail_ps)};
  }

  [[nodiscard]] std::uint64_t free_at_ps() const { return free_ps_; }
  [[nodiscard]] std::uint64_t latency_ps() const { return latency_ps_; }
  [[nodiscard]] std::uint64_t busy_ps() const { return busy_ps_; }
  [[nodiscard]] std::uint64_t wire_bytes() const { return wire_bytes_; }
  [[nodiscard]] std::uint64_t messages() const { return messages_; }

 private:
  std::uint64_t wait_for_credits(std::uint64_t first, std::uint64_t last, std::uint64_t wire_bytes);

  double ps_per_byte_ = 0;
  std::uint64_t latency_ps_ = 0;
  std::uint64_t free_ps_ = 0;
  std::uint64_t busy_ps_ = 0;
  std::uint64_t wire_bytes_ = 0;
  std::uint64_t messages_ = 0;
  bool credit_limited_ = false;  // the buffer is shorter than rate x round trip
  double buffer_bytes_ = 0;
  double credit_ps_per_byte_ = 0;
  double full_at_ps_ = 0;  // when all credits will be back
};

}  // namespace lightcone::hardware
