// SPDX-License-Identifier: Apache-2.0
// What a message program needs of the machine, laid out for playing: the live links, and for every pair of workers that
// exchange messages a channel with its way over them. With folded ranks a live link stands for all that a symmetry maps
// onto it: one of a GPU's own links for those of its class, one between switches for its orbit, with the messages of
// all ranks that pass it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hardware/machine/message_fold.h"
#include "hardware/parts/fabric_link.h"
#include "hardware/parts/fabric_nic.h"
#include "hardware/parts/optical_circuit_switch.h"

namespace lightcone::hardware {

inline constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

// One link of a way, and the vertex that is passed to reach it.
struct Hop {
  std::uint32_t link = 0;         // live
  std::uint32_t nic = kNone;      // live, passed before the link
  std::uint32_t circuit = kNone;  // live circuit switch, entered by the link before
  std::uint32_t pass_ps = 0;      // of a switch before the link
  double times = 1;               // messages of folded ranks on the link, for one that is played
  bool merges = false;            // messages of several links meet here: each waits for its turn
};

struct Channel {
  std::uint32_t from = 0, to = 0;  // live workers
  std::uint32_t first_hop = 0;
  std::uint16_t hops = 0;        // 0: both workers are on one GPU
  std::uint64_t latency_ps = 0;  // of a small message without queues, ports included: credits come back with it
};

struct LiveWorker {
  std::uint32_t worker = 0;              // of the program
  std::uint32_t local = 0;               // number on its rank: order of what happens at the same time
  std::uint32_t first_peer = 0;          // into send_channel, receive_channel
  std::vector<std::uint32_t> multicast;  // channels of the workers that take its multicasts
};

struct LiveLink {
  FabricLink part;
  std::uint16_t kind = 0;      // of FabricSpec::links
  double stands_for = 1;       // links of the graph
  double pass_pj_per_bit = 0;  // of the switch or NIC that the bits come from
};

// A group's way through its switch.
struct GroupWay {
  std::vector<std::uint32_t> ranks;
  std::vector<std::uint32_t> up, down;  // live links of each rank to the switch and back
  std::uint32_t pass_ps = 0;
};

struct MessageLayout {
  std::vector<LiveLink> links;
  std::vector<FabricNic> nics;
  std::vector<OpticalCircuitSwitch> circuits;
  std::vector<Hop> hops;
  std::vector<Channel> channels;
  std::vector<LiveWorker> workers;
  std::vector<std::uint32_t> send_channel, receive_channel;  // by peer of each live worker
  std::vector<GroupWay> groups;
  std::uint64_t port_ps = 0;
};

MessageLayout lay_out(const MessageProgram& program, const MachineGraph& graph, const MessageFold& fold,
                      const PeerSlots& slots);

}  // namespace lightcone::hardware
