// SPDX-License-Identifier: Apache-2.0
#include "hardware/spec/fabric_spec.h"

#include <algorithm>
#include <cmath>

#include "sim/base/checked.h"

namespace lightcone::hardware {

double OpticalSpec::loss_db() const {
  double sum = 0;
  for (const OpticalLoss& loss : losses) sum += loss.total();
  return sum;
}

Watts OpticalSpec::laser_power() const {
  return Watts(wavelengths * std::pow(10, laser_dbm / 10) * 1e-3 / laser_wall_plug_efficiency / lanes_per_laser);
}

Watts OpticalSpec::tuning_power() const { return Watts(wavelengths * ring_tuning_milliwatts * 1e-3); }

double OpticalSpec::spare_db(double more_db) const {
  return laser_dbm - loss_db() - more_db - margin_db - receiver_sensitivity_dbm;
}

BytesPerSecond LinkSpec::wire() const {
  return BytesPerSecond(lanes * gigabits_per_second_per_lane * encoding_efficiency * 1e9 / 8);
}

Bytes LinkSpec::wire_bytes(Bytes payload) const {
  const std::uint64_t full = payload.count() / packet_payload.count();
  const std::uint64_t rest = payload.count() % packet_payload.count();
  const auto padded = [this](std::uint64_t carried) { return round_up(packet_header.count() + carried, flit.count()); };
  const bool short_packet = rest > 0 || full == 0;  // a flag alone is a packet too
  return Bytes(full * padded(packet_payload.count()) + (short_packet ? padded(rest) : 0));
}

double LinkSpec::packet_efficiency() const { return packet_payload / wire_bytes(packet_payload); }

Seconds LinkSpec::latency() const { return serdes_latency + fec_latency + Seconds(metres * flight_per_metre.count()); }

Seconds LinkSpec::round_trip() const { return latency() * 2.0; }

BytesPerSecond LinkSpec::sustained() const {
  if (round_trip().count() <= 0) return wire();
  return std::min(wire(), BytesPerSecond(receiver_buffer.real() / round_trip().count()));
}

double LinkSpec::dynamic_pj_per_bit() const {
  return pj_per_bit + (optics ? optics->modulator_pj_per_bit + optics->receiver_pj_per_bit : 0);
}

Watts LinkSpec::standing_power() const {
  if (!optics) return idle;
  return idle + (optics->laser_power() + optics->tuning_power()) * static_cast<double>(lanes);
}

double LinkSpec::full_load_pj_per_bit() const {
  return dynamic_pj_per_bit() + standing_power().count() / (lanes * gigabits_per_second_per_lane * 1e9) * 1e12;
}

std::uint32_t FabricSpec::domain_size(std::size_t level) const {
  std::uint32_t gpus = 1;
  for (std::size_t l = 0; l <= level; ++l) gpus *= levels[l].size;
  return gpus;
}

std::uint32_t FabricSpec::slots() const { return levels.empty() ? 1 : domain_size(levels.size() - 1); }

std::uint32_t FabricSpec::gpu_count() const { return slots() - static_cast<std::uint32_t>(missing_gpus.size()); }

}  // namespace lightcone::hardware
