// SPDX-License-Identifier: Apache-2.0
#include "hardware/parts/fabric_link.h"

#include "sim/base/error.h"

namespace lightcone::hardware {

FabricLink::FabricLink(const LinkSpec& spec, double count) {
  LIGHTCONE_ASSERT(count > 0);
  ps_per_byte_ = 1e12 / (spec.wire().count() * count);
  latency_ps_ = to_picoseconds(spec.latency()).count();
  buffer_bytes_ = spec.receiver_buffer.real() * count;
  credit_ps_per_byte_ = spec.round_trip().count() * 1e12 / buffer_bytes_;
  credit_limited_ = credit_ps_per_byte_ > ps_per_byte_;
}

// The bucket lacks (full_at - now) / ps per byte credits; the last byte waits for its own.
std::uint64_t FabricLink::wait_for_credits(std::uint64_t first, std::uint64_t last, std::uint64_t wire_bytes) {
  const double now = static_cast<double>(first);
  full_at_ps_ = std::max(full_at_ps_, now) + static_cast<double>(wire_bytes) * credit_ps_per_byte_;
  const double enough = full_at_ps_ - buffer_bytes_ * credit_ps_per_byte_;
  return std::max(last, enough > now ? static_cast<std::uint64_t>(enough + 0.5) : first);
}

}  // namespace lightcone::hardware
