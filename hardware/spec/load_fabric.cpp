// SPDX-License-Identifier: Apache-2.0
#include "hardware/spec/load_fabric.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "hardware/spec/machine_graph.h"

namespace lightcone::hardware {
namespace {

constexpr RealBounds kNanoseconds{0, true, 1e9};
constexpr RealBounds kPicojoules{0, true, 1e6};
constexpr RealBounds kWatts{0, true, 1e6};
constexpr RealBounds kDecibels{0, true, 200};
constexpr RealBounds kDbm{-100, true, 60};

Seconds nanoseconds(const MessageReader& from, const std::string& field) {
  return Seconds(from.real(field, kNanoseconds) * 1e-9);
}

OpticalSpec read_optics(const MessageReader& from) {
  OpticalSpec out;
  out.placement = static_cast<OpticalPlacement>(std::max(0, from.enumeration("placement") - 1));
  out.wavelengths = from.integer32("wavelengths", {1, 1024});
  out.gigabaud = from.real("gigabaud", {0, false, 1000});
  out.bits_per_symbol = from.real("bits_per_symbol", {0, false, 16});
  for (const MessageReader& loss : from.children("loss")) {
    out.losses.push_back({loss.text("name"), loss.real("decibels", kDecibels),
                          loss.has("count") ? loss.real("count", {0, true, 1e4}) : 1});
  }
  if (!from.has("loss")) from.fault("loss", "is missing: the items between laser and detector");
  out.laser_dbm = from.real("laser_dbm", kDbm);
  out.receiver_sensitivity_dbm = from.real("receiver_sensitivity_dbm", kDbm);
  out.margin_db = from.real("margin_db", kDecibels);
  out.lanes_per_laser = from.has("lanes_per_laser") ? from.real("lanes_per_laser", {0, false, 1e4}) : 1;
  out.laser_wall_plug_efficiency = from.real("laser_wall_plug_efficiency", kFraction);
  out.modulator_pj_per_bit = from.real("modulator_pj_per_bit", kPicojoules);
  out.receiver_pj_per_bit = from.real("receiver_pj_per_bit", kPicojoules);
  out.ring_tuning_milliwatts = from.real("ring_tuning_milliwatts", kWatts);
  return out;
}

void read_packets(const MessageReader& from, LinkSpec& out) {
  out.packet_payload = Bytes(from.integer("packet_payload_bytes", {1, 1u << 20}));
  out.packet_header = Bytes(from.integer("packet_header_bytes", {0, 1u << 16}));
  out.flit = Bytes(from.integer("flit_bytes", {1, 1u << 16}));
  out.receiver_buffer = Bytes(from.integer("receiver_buffer_bytes", {1, std::uint64_t{1} << 40}));
  if (out.receiver_buffer < out.wire_bytes(out.packet_payload))
    from.fault("receiver_buffer_bytes", "must hold at least one packet with its header");
}

LinkSpec read_link(const MessageReader& from) {
  LinkSpec out;
  out.name = from.text("name");
  out.lanes = from.integer32("lanes", {1, 4096});
  if (from.has("optics")) {
    out.optics = read_optics(from.child("optics"));
    out.gigabits_per_second_per_lane = out.optics->gigabits_per_second();
    if (from.has("gigabits_per_second_per_lane"))
      from.fault("gigabits_per_second_per_lane",
                 "must not be given with optics: it is wavelengths x gigabaud x bits_per_symbol");
  } else {
    out.gigabits_per_second_per_lane = from.real("gigabits_per_second_per_lane", {0, false, 1e6});
  }
  out.encoding_efficiency = from.real("encoding_efficiency", kFraction);
  read_packets(from, out);
  out.serdes_latency = nanoseconds(from, "serdes_latency_ns");
  out.fec_latency = nanoseconds(from, "fec_latency_ns");
  out.metres = from.real("metres", {0, true, 1e7});
  out.flight_per_metre = nanoseconds(from, "flight_ns_per_metre");
  out.pj_per_bit = from.real("pj_per_bit", kPicojoules);
  out.idle = Watts(from.real("idle_watts", kWatts));
  return out;
}

SwitchSpec read_switch(const MessageReader& from) {
  SwitchSpec out;
  out.name = from.text("name");
  out.ports = from.integer32("ports", {1, 1u << 16});
  out.latency = nanoseconds(from, "latency_ns");
  out.reduces = from.boolean("reduces");
  out.multicasts = from.boolean("multicasts");
  out.pj_per_bit = from.real("pj_per_bit", kPicojoules);
  out.idle = Watts(from.real("idle_watts", kWatts));
  return out;
}

NicSpec read_nic(const MessageReader& from, const std::vector<LinkSpec>& links) {
  NicSpec out;
  out.name = from.text("name");
  out.host_link = index_of(from, "host_link", links).value_or(0);
  out.latency = nanoseconds(from, "latency_ns");
  out.message_gap = nanoseconds(from, "message_gap_ns");
  out.pj_per_bit = from.real("pj_per_bit", kPicojoules);
  out.idle = Watts(from.real("idle_watts", kWatts));
  return out;
}

CircuitSwitchSpec read_circuit_switch(const MessageReader& from) {
  CircuitSwitchSpec out;
  out.name = from.text("name");
  out.radix = from.integer32("radix", {2, 1u << 16});
  out.insertion_loss_db = from.real("insertion_loss_db", kDecibels);
  out.reconfiguration = Seconds(from.real("reconfiguration_us", {0, true, 1e9}) * 1e-6);
  out.power = Watts(from.real("watts", kWatts));
  return out;
}

// The most that circuit switches take from the light of link `link` in any level.
double circuit_loss(const FabricSpec& fabric, std::uint32_t link) {
  double most = 0;
  for (const LevelSpec& level : fabric.levels) {
    if (!level.circuit_switch) continue;
    const bool passes = level.topology == Topology::circuit ? level.link == link : level.block_link == link;
    if (passes) most = std::max(most, fabric.circuit_switches[*level.circuit_switch].insertion_loss_db);
  }
  return most;
}

// Light must arrive: every optical link has its budget closed, circuit switches on its way included.
void check_budgets(const MessageReader& from, const FabricSpec& fabric) {
  const std::vector<MessageReader> readers = from.children("link");
  for (std::uint32_t i = 0; i < fabric.links.size(); ++i) {
    const auto& optics = fabric.links[i].optics;
    if (!optics || optics->losses.empty()) continue;
    const double switched = circuit_loss(fabric, i);
    const double spare = optics->spare_db(switched);
    if (spare >= 0) continue;
    const double arrives = optics->laser_dbm - optics->loss_db() - switched - optics->margin_db;
    const std::string circuits = switched > 0 ? fmt::format(" - {:.4g} dB of the circuit switch", switched) : "";
    readers[i].child("optics").fault(
        "laser_dbm", fmt::format("the link budget does not close, {:.4g} dB are missing: {:.4g} dBm - {:.4g} dB of "
                                 "losses{} - {:.4g} dB of margin = {:.4g} dBm, the receiver needs {:.4g} dBm",
                                 -spare, optics->laser_dbm, optics->loss_db(), circuits, optics->margin_db, arrives,
                                 optics->receiver_sensitivity_dbm));
  }
}

void read_faults(const MessageReader& from, FabricSpec& out) {
  std::set<std::uint32_t> missing;
  for (const std::uint32_t gpu : from.integers("missing_gpu")) {
    if (gpu >= out.slots()) {
      from.fault("missing_gpu", fmt::format("{} is not a GPU: there are places 0 to {}", gpu, out.slots() - 1));
    } else if (!missing.insert(gpu).second) {
      from.fault("missing_gpu", fmt::format("{} is named twice", gpu));
    }
  }
  out.missing_gpus.assign(missing.begin(), missing.end());
  if (out.missing_gpus.size() == out.slots()) from.fault("missing_gpu", "names every GPU: none is left");
  for (const MessageReader& slow : from.children("slow_link")) {
    out.slow_links.push_back({slow.text("from"), slow.text("to"), slow.real("share", {0, true, 1})});
  }
}

// Names two kinds that a list must not hold twice.
template <class Kind>
void check_names(const MessageReader& from, const std::string& list, const std::vector<Kind>& kinds) {
  std::set<std::string> seen;
  for (const Kind& kind : kinds) {
    if (!kind.name.empty() && !seen.insert(kind.name).second)
      from.fault(list, fmt::format("\"{}\" is described twice", kind.name));
  }
}

// What only the graph can say: whether vertices of slow links exist and everything still hangs together.
void check_graph(const MessageReader& from, const FabricSpec& fabric) {
  try {
    const MachineGraph graph(fabric);
  } catch (const ConfigError& error) {
    for (const Diagnostic& fault : error.diagnostics()) from.fault(fault.field, fault.message);
  }
}

}  // namespace

FabricSpec read_fabric(const MessageReader& from) {
  FabricSpec out;
  for (const MessageReader& link : from.children("link")) out.links.push_back(read_link(link));
  for (const MessageReader& kind : from.children("switch_kind")) out.switches.push_back(read_switch(kind));
  for (const MessageReader& kind : from.children("nic")) out.nics.push_back(read_nic(kind, out.links));
  for (const MessageReader& kind : from.children("circuit_switch"))
    out.circuit_switches.push_back(read_circuit_switch(kind));
  check_names(from, "link", out.links);
  check_names(from, "switch_kind", out.switches);
  check_names(from, "nic", out.nics);
  check_names(from, "circuit_switch", out.circuit_switches);
  out.port_latency = nanoseconds(from, "port_latency_ns");
  const std::size_t faults_before = from.fault_count();
  out.levels = read_levels(from, out);
  if (from.fault_count() != faults_before) return out;  // sizes and kinds below would be guesses
  check_budgets(from, out);
  read_faults(from, out);
  const bool sound = from.fault_count() == faults_before;
  if (sound && (!out.missing_gpus.empty() || !out.slow_links.empty())) check_graph(from, out);
  return out;
}

}  // namespace lightcone::hardware
