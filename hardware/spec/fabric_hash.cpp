// SPDX-License-Identifier: Apache-2.0
#include "hardware/spec/fabric_spec.h"
#include "hardware/spec/spec_hash.h"
#include "sim/base/content_hash.h"

namespace lightcone::hardware {

namespace {

template <class Index>
void add_optional(ContentHash& hash, const std::optional<Index>& index) {
  hash.add(index.has_value()).add(index.value_or(Index{}));
}

void add_list(ContentHash& hash, const std::vector<std::uint32_t>& list) {
  hash.add(list.size());
  for (const std::uint32_t entry : list) hash.add(entry);
}

void add(ContentHash& hash, const OpticalSpec& optics) {
  hash.add(optics.placement).add(optics.wavelengths).add(optics.gigabaud).add(optics.bits_per_symbol);
  hash.add(optics.losses.size());
  for (const OpticalLoss& loss : optics.losses) hash.add(loss.decibels).add(loss.count);
  hash.add(optics.laser_dbm).add(optics.receiver_sensitivity_dbm).add(optics.margin_db);
  hash.add(optics.laser_wall_plug_efficiency).add(optics.modulator_pj_per_bit).add(optics.receiver_pj_per_bit);
  hash.add(optics.ring_tuning_milliwatts);
}

// Names of links are part of a result.
void add(ContentHash& hash, const LinkSpec& link) {
  hash.add(link.name).add(link.lanes).add(link.gigabits_per_second_per_lane).add(link.encoding_efficiency);
  hash.add(link.packet_payload.count()).add(link.packet_header.count()).add(link.flit.count());
  hash.add(link.receiver_buffer.count()).add(link.serdes_latency.count()).add(link.fec_latency.count());
  hash.add(link.metres).add(link.flight_per_metre.count()).add(link.pj_per_bit).add(link.idle.count());
  hash.add(link.optics.has_value());
  if (link.optics) add(hash, *link.optics);
}

void add(ContentHash& hash, const LevelSpec& level) {
  hash.add(level.topology).add(level.size).add(level.link).add(level.links_per_gpu).add(level.planes);
  hash.add(level.interleaved);
  for (const auto& index : {level.switch_kind, level.nic, level.circuit_switch, level.trunk, level.block_link}) {
    add_optional(hash, index);
  }
  const FatTree& tree = level.tree;
  hash.add(tree.rails).add(tree.leaf_gpus).add(tree.leaf_uplinks).add(tree.spines).add(tree.pod_gpus);
  hash.add(tree.cores).add(tree.spine_uplinks);
  const Dragonfly& dragonfly = level.dragonfly;
  hash.add(dragonfly.router_gpus).add(dragonfly.group_routers).add(dragonfly.local_links);
  hash.add(dragonfly.router_global_links);
  add_list(hash, level.dimensions);
  add_list(hash, level.block);
}

}  // namespace

std::string spec_hash(const FabricSpec& fabric) {
  ContentHash hash;
  hash.add(fabric.links.size());
  for (const LinkSpec& link : fabric.links) add(hash, link);
  hash.add(fabric.switches.size());
  for (const SwitchSpec& spec : fabric.switches) {
    hash.add(spec.ports).add(spec.latency.count()).add(spec.reduces).add(spec.multicasts);
    hash.add(spec.pj_per_bit).add(spec.idle.count());
  }
  hash.add(fabric.nics.size());
  for (const NicSpec& nic : fabric.nics) {
    hash.add(nic.host_link).add(nic.latency.count()).add(nic.message_gap.count()).add(nic.pj_per_bit);
    hash.add(nic.idle.count());
  }
  hash.add(fabric.circuit_switches.size());
  for (const CircuitSwitchSpec& spec : fabric.circuit_switches) {
    hash.add(spec.radix).add(spec.insertion_loss_db).add(spec.reconfiguration.count()).add(spec.power.count());
  }
  hash.add(fabric.levels.size());
  for (const LevelSpec& level : fabric.levels) add(hash, level);
  hash.add(fabric.port_latency.count());
  add_list(hash, fabric.missing_gpus);
  hash.add(fabric.slow_links.size());
  for (const SlowLink& slow : fabric.slow_links) hash.add(slow.from).add(slow.to).add(slow.share);
  return hash.hex();
}

}  // namespace lightcone::hardware
