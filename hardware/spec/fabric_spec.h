// SPDX-License-Identifier: Apache-2.0
// What joins the GPUs of a machine, as checked plain numbers: kinds of links (electrical and optical), switches, NICs
// and optical circuit switches, and the levels in which they connect GPUs to domains and domains to larger ones.
// The source of each value stands beside it in the machine file (hardware/catalog).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sim/base/units.h"

namespace lightcone::hardware {

// ---- Optics ------------------------------------------------------------------------------------------------------

// Where electrons become light. It decides the length of the electrical way, and with it SerDes power and latency.
enum class OpticalPlacement : std::uint8_t {
  pluggable,    // module at the face plate, behind a long-reach SerDes and a DSP
  co_packaged,  // engine on the substrate of the switch or GPU
  io_chiplet,   // optical I/O chiplet beside the GPU, die-to-die interface (UCIe)
  interposer    // under the chips: a photonic interposer or wafer with waveguides
};

// One item of a loss budget, from the laser to the detector.
struct OpticalLoss {
  std::string name;
  double decibels = 0;  // of each
  double count = 1;     // passed by the light (through-rings, centimetres of waveguide, connectors)
  [[nodiscard]] double total() const { return decibels * count; }
};

// Wavelength-division multiplexed transmitter and receiver of one lane (a fibre or a waveguide) in one direction.
struct OpticalSpec {
  OpticalPlacement placement = OpticalPlacement::pluggable;
  std::uint32_t wavelengths = 1;  // of one lane
  double gigabaud = 50;           // symbols per second of one wavelength
  double bits_per_symbol = 1;     // NRZ 1, PAM4 2
  std::vector<OpticalLoss> losses;
  double laser_dbm = 0;                 // of one wavelength, where it leaves the laser
  double receiver_sensitivity_dbm = 0;  // optical modulation amplitude at the error rate that the FEC can mend
  double margin_db = 0;                 // kept for ageing and temperature
  double lanes_per_laser = 1;           // that a splitter feeds with the light of one laser
  double laser_wall_plug_efficiency = 0.1;
  double modulator_pj_per_bit = 0;    // modulator and its driver
  double receiver_pj_per_bit = 0;     // photodiode, transimpedance amplifier, clock recovery
  double ring_tuning_milliwatts = 0;  // heaters of one wavelength, both ends; on whether or not bits pass

  [[nodiscard]] double gigabits_per_second() const { return wavelengths * gigabaud * bits_per_symbol; }  // of a lane
  [[nodiscard]] double loss_db() const;
  // Electrical power of the lasers of one lane (its share of theirs), on whether or not bits pass.
  [[nodiscard]] Watts laser_power() const;
  [[nodiscard]] Watts tuning_power() const;  // of one lane
  // Decibels left when `more_db` (circuit switches) are lost too; negative: the link does not close.
  [[nodiscard]] double spare_db(double more_db) const;
};

// ---- Links -------------------------------------------------------------------------------------------------------

// One link in one direction; the other direction is alike. Latencies and energies include both ends.
struct LinkSpec {
  std::string name;  // "nvlink4"
  std::uint32_t lanes = 1;
  double gigabits_per_second_per_lane = 0;  // on the wire
  double encoding_efficiency = 1;           // line code and FEC parity: bits that are left for packets
  Bytes packet_payload{256};                // most that a packet carries
  Bytes packet_header{16};                  // header, CRC, framing
  Bytes flit{16};                           // packets are padded to whole flits
  Bytes receiver_buffer;                    // credits: bytes that may be under way without an answer
  Seconds serdes_latency;                   // serialiser, deserialiser, retiming, link layer
  Seconds fec_latency;                      // a code word must be in before it can be checked
  double metres = 0;
  Seconds flight_per_metre;
  double pj_per_bit = 0;  // SerDes, DSP and link layer, of each bit on the wire
  Watts idle{0};          // whether or not bits pass, without lasers and ring heaters
  std::optional<OpticalSpec> optics;

  [[nodiscard]] BytesPerSecond wire() const;  // packets with their headers: raw rate x encoding_efficiency
  // Bytes on the wire for a message of `payload`: headers of all packets, the last one padded to whole flits.
  [[nodiscard]] Bytes wire_bytes(Bytes payload) const;
  // Payload share of full packets; 0.941 for 256 of 272 bytes.
  [[nodiscard]] double packet_efficiency() const;
  [[nodiscard]] Seconds latency() const;     // SerDes, FEC, time of flight: first bit in to first bit out
  [[nodiscard]] Seconds round_trip() const;  // of a credit: out with the data, back with the answer
  // Rate that the link keeps up: the wire's, or buffer per round trip when credits run out before they come back.
  [[nodiscard]] BytesPerSecond sustained() const;
  [[nodiscard]] double dynamic_pj_per_bit() const;    // electrical part, modulator and receiver
  [[nodiscard]] Watts standing_power() const;         // idle, lasers, ring heaters
  [[nodiscard]] double full_load_pj_per_bit() const;  // with the standing power spread over all bits
};

// ---- Nodes of the graph ------------------------------------------------------------------------------------------

struct SwitchSpec {
  std::string name;         // "nvswitch3"
  std::uint32_t ports = 0;  // links of one kind that it takes
  Seconds latency;          // cut-through: first bit in to first bit out, without its SerDes
  bool reduces = false;     // adds what its ports bring (SHARP)
  bool multicasts = false;
  double pj_per_bit = 0;  // crossbar and buffers, SerDes left out
  Watts idle{0};
};

// Network interface between a GPU's host link and a network port; one per GPU and plane.
struct NicSpec {
  std::string name;
  std::uint32_t host_link = 0;  // index into FabricSpec::links: PCIe between GPU and NIC
  Seconds latency;              // doorbell, DMA and packet building, both directions alike
  Seconds message_gap;          // least time from one message to the next: work requests per second
  double pj_per_bit = 0;
  Watts idle{0};
};

// Mirrors or interferometers that join one input fibre to one output fibre; no packets, no buffers.
struct CircuitSwitchSpec {
  std::string name;
  std::uint32_t radix = 0;  // fibres in, and as many out
  double insertion_loss_db = 0;
  Seconds reconfiguration;  // dark time of a port whose circuit changes
  Watts power{0};           // on at all times
};

// ---- Levels ------------------------------------------------------------------------------------------------------

enum class Topology : std::uint8_t {
  switched,   // every GPU to the same switches
  fat_tree,   // leaf, spine and core switches; leaves may serve one rail each
  ring,       // a torus of one dimension
  torus,      // GPUs forward for each other
  dragonfly,  // groups of routers, all groups joined
  circuit,    // every GPU to the same optical circuit switches
  direct      // a link between every two GPUs
};

struct FatTree {
  std::uint32_t rails = 1;          // GPU i of a domain hangs on rail i mod rails; each leaf serves one rail
  std::uint32_t leaf_gpus = 0;      // GPUs of one leaf
  std::uint32_t leaf_uplinks = 0;   // links of a leaf to all its spines
  std::uint32_t spines = 0;         // of one pod; 0: one leaf holds all
  std::uint32_t pod_gpus = 0;       // GPUs under the same spines; 0: all
  std::uint32_t cores = 0;          // core c joins spine c mod spines of every pod; 0: one pod
  std::uint32_t spine_uplinks = 0;  // links of a spine to all its cores
};

struct Dragonfly {
  std::uint32_t router_gpus = 0;
  std::uint32_t group_routers = 0;  // all joined by local_links each
  std::uint32_t local_links = 1;
  std::uint32_t router_global_links = 0;
};

// Level 0 joins GPUs to a domain, level n joins domains of level n - 1. Its network reaches every GPU; in rings and
// tori of domains, GPUs of the same place in their domains are neighbours.
struct LevelSpec {
  std::string name;  // of one domain: "node", "pod"
  Topology topology = Topology::switched;
  std::uint32_t size = 0;           // domains of the level below, or GPUs
  std::uint32_t link = 0;           // index into FabricSpec::links: of the GPU or its NIC
  std::uint32_t links_per_gpu = 1;  // over all planes and directions
  std::uint32_t planes = 1;         // independent copies of the network; each its own way
  // Packets are dealt over the planes by address (NVSwitch): the planes act as one switch, and there is one way.
  bool interleaved = false;
  std::optional<std::uint32_t> switch_kind;     // index into FabricSpec::switches; in a torus: the router of a GPU
  std::optional<std::uint32_t> nic;             // index into FabricSpec::nics
  std::optional<std::uint32_t> circuit_switch;  // of a circuit level, and of the block links of a torus
  std::optional<std::uint32_t> trunk;           // links between switches; absent: `link`
  FatTree tree;
  Dragonfly dragonfly;
  std::vector<std::uint32_t> dimensions;    // torus: their product is `size`
  std::vector<std::uint32_t> block;         // torus: links that leave a block of this size go through circuit switches
  std::optional<std::uint32_t> block_link;  // index into FabricSpec::links: of those

  [[nodiscard]] std::uint32_t trunk_link() const { return trunk.value_or(link); }
};

// A bundle that is slower than the others: both directions between two vertices of the machine graph.
struct SlowLink {
  std::string from, to;  // names of vertices: "gpu[3]", "node[0].switch[1]"
  double share = 1;      // of its links that work; 0: none, messages go another way
};

struct FabricSpec {
  std::vector<LinkSpec> links;
  std::vector<SwitchSpec> switches;
  std::vector<NicSpec> nics;
  std::vector<CircuitSwitchSpec> circuit_switches;
  std::vector<LevelSpec> levels;  // innermost first
  Seconds port_latency;           // from an SM through the crossbar to a link port, at each end of a message
  std::vector<std::uint32_t> missing_gpus;
  std::vector<SlowLink> slow_links;

  [[nodiscard]] std::uint32_t slots() const;                         // places for GPUs: the product of the sizes
  [[nodiscard]] std::uint32_t gpu_count() const;                     // slots without the missing ones
  [[nodiscard]] std::uint32_t domain_size(std::size_t level) const;  // GPUs in a domain of the level
};

}  // namespace lightcone::hardware
