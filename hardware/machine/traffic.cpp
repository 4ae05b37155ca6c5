// SPDX-License-Identifier: Apache-2.0
#include "hardware/machine/traffic.h"

#include <algorithm>
#include <cmath>

#include "hardware/parts/hbm_channel.h"

namespace lightcone::hardware {

namespace {

constexpr double kLine = 128;
constexpr double kBankExponent = 4;  // how sharply reads turn from bus-bound to bank-bound; from the cycle machine

// Loads and stores of one tensor over all classes.
struct Touched {
  double read = 0, read_waves = 0, read_surely = 0, requested = 0, requested_bulk = 0;
  double written = 0, written_surely = 0;
  double run_bytes = 0;
};

std::vector<Touched> touched(const TileProgram& program, const WorkSummary& work) {
  std::vector<Touched> all(program.tensors.size());
  for (const std::vector<Access>& accesses : work.accesses) {
    for (const Access& access : accesses) {
      Touched& t = all[access.tensor];
      if (access.store) {
        t.written += access.distinct;
        t.written_surely = std::max(t.written_surely, access.surely);
      } else {
        const double requested = access.bytes / access.multicast;
        t.read += access.distinct;
        t.read_waves += std::min(requested, std::max(access.distinct, access.per_waves));
        t.read_surely = std::max(t.read_surely, access.surely);
        t.requested += requested;
        t.run_bytes = std::max(t.run_bytes, access.run_bytes);
        if (!access.through_l1) t.requested_bulk += requested;
      }
    }
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    const double size = program.tensors[i].bytes.real();
    all[i].read = std::min(all[i].read, size);
    all[i].read_surely = std::min(all[i].read_surely, size);
    all[i].written = std::min(all[i].written, size);
    all[i].written_surely = std::min(all[i].written_surely, size);
    all[i].read_waves = std::max(all[i].read, all[i].read_waves);
  }
  return all;
}

// 0 while the footprint fits, 1 from twice the capacity on.
double evicted(double footprint, double capacity) {
  return capacity <= 0 ? 1 : std::clamp(footprint / capacity - 1, 0.0, 1.0);
}

}  // namespace

Traffic memory_traffic(const TileProgram& program, const WorkSummary& work, const GpuSpec& gpu) {
  const std::vector<Touched> all = touched(program, work);
  double footprint = 0, warm_surely = 0, written_surely = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    footprint += std::max(all[i].read, all[i].written);
    written_surely += all[i].written_surely;
    if (program.tensors[i].residency == Residency::warm) warm_surely += all[i].read_surely;
  }
  const double capacity = gpu.l2.capacity.real();
  const double gone = evicted(footprint, capacity / std::max(1u, gpu.l2.partitions));

  Traffic traffic;
  traffic.tensors.resize(all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Touched& t = all[i];
    TensorTraffic& out = traffic.tensors[i];
    const bool warm = program.tensors[i].residency == Residency::warm;
    out.requested = t.requested;
    out.run_bytes = t.run_bytes;
    out.hbm_read = warm ? t.read_waves * gone : t.read + (t.read_waves - t.read) * gone;
    out.miss_share = t.requested > 0 ? std::min(1.0, out.hbm_read / t.requested) : 0;
    traffic.hbm_read += out.hbm_read;
    traffic.hbm_written += t.written * gone;
    // A tensor that the kernel wrote itself may be read back from L2.
    if (!warm && !program.tensors[i].written) traffic.compulsory += t.read_surely;
    traffic.at_least_stored += t.written_surely;
    traffic.at_least_requested += t.requested_bulk > 0 ? t.requested_bulk : t.read_surely;
  }
  traffic.compulsory += std::max(0.0, warm_surely - capacity) + std::max(0.0, written_surely - capacity);
  return traffic;
}

BytesPerSecond sustained_bandwidth(const HbmSpec& hbm, double write_share) {
  const HbmTiming& t = hbm.timing;
  double share = 1;
  if (hbm.per_bank_refresh) {
    // One bank at a time is away; the others keep the bus busy unless refreshes follow each other too closely.
    const double banks = hbm.bank_groups * hbm.banks_per_group;
    if (t.nREFIpb > 0) share -= std::min(0.5, t.nRFCpb / (t.nREFIpb * banks));
  } else if (t.nREFI > 0) {
    share -= std::min(0.5, static_cast<double>(t.nRFC) / t.nREFI);
  }
  // The controller drains half of its write buffer, a line per entry, before it turns the bus around.
  const double lines = HbmChannel::kWriteLines / 2.0;
  const double drain = lines * 128 / hbm.access.real() * std::max(1u, t.nBL);  // CK
  const double both_turns = std::max(0.0, 1.0 * t.nRTW - t.nBL) + t.nCWL + t.nWTRL;
  const double turns = std::min(write_share, 1 - write_share) * both_turns / drain;
  return BytesPerSecond(hbm.peak().count() * share / (1 + turns));
}

double scattered_read_cost(const HbmSpec& hbm, double run_bytes) {
  if (run_bytes <= 0 || run_bytes >= hbm.page.real()) return 1;
  const double banks = hbm.bank_groups * hbm.banks_per_group;
  const double lines = std::max(1.0, run_bytes / kLine);
  const double runs_seen = hbm.queue_depth / lines;
  const double busy_banks = banks * (1 - std::pow(1 - 1 / banks, runs_seen));
  const double row_cycle = hbm.timing.nRC * to_seconds(hbm.timing.tCK).count();
  const double from_banks = busy_banks * lines * kLine / row_cycle;
  const double bus = hbm.peak().count() / hbm.pseudo_channels();
  return std::pow(1 + std::pow(bus / from_banks, kBankExponent), 1 / kBankExponent);
}

Seconds memory_time(const Traffic& traffic, const HbmSpec& hbm) {
  const double moved = traffic.hbm_read + traffic.hbm_written;
  if (moved <= 0) return Seconds(0);
  double effective = traffic.hbm_written;
  for (const TensorTraffic& tensor : traffic.tensors) {
    effective += tensor.hbm_read * scattered_read_cost(hbm, tensor.run_bytes);
  }
  return Seconds(effective / sustained_bandwidth(hbm, traffic.hbm_written / moved).count());
}

}  // namespace lightcone::hardware
