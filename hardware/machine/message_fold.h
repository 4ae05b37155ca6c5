// SPDX-License-Identifier: Apache-2.0
// Which ranks of a message program are played. Ranks fall into classes that do the same at the same time: they start
// from the program's own classes and the symmetries of the graph, and are told apart as long as their workers, the
// classes of their peers or the kinds of links on the ways to them differ (colour refinement). One rank of each class
// is played; a message to any rank arrives at the one that stands for it. Ranks that share links with different others
// are told apart too. Exact, but for equal ranks that meet on one link between switches: played, they all wait as long
// as the last of them.
#pragma once

#include <cstdint>
#include <vector>

#include "hardware/program/message_program.h"
#include "hardware/spec/machine_graph.h"

namespace lightcone::hardware {

struct MessageFold {
  std::vector<std::uint32_t> rank_class;      // by rank
  std::vector<std::uint32_t> representative;  // rank, by class
  std::vector<std::uint32_t> members;         // ranks, by class
  bool folded = false;                        // false: every rank is its own class
};

// Of colours: a hash that depends on the order.
inline std::uint64_t mixed(std::uint64_t hash, std::uint64_t value) {
  hash ^= value + 0x9e3779b97f4a7c15ull + (hash << 6) + (hash >> 2);
  hash *= 0xff51afd7ed558ccdull;
  return hash ^ (hash >> 32);
}

// Slot of worker `from` among the peers of worker `to`, on which `to` receives from it.
class PeerSlots {
 public:
  explicit PeerSlots(const MessageProgram& program);
  [[nodiscard]] std::uint16_t slot(std::uint32_t from, std::uint32_t to) const;  // kNoPeer: none

 private:
  struct Entry {
    std::uint64_t ends = 0;  // from, to
    std::uint16_t slot = 0;
  };
  std::vector<Entry> entries_;  // sorted
};

// Peer indices that the steps of a class receive from, and send single messages to, in order.
std::vector<std::uint16_t> received_peers(const WorkerClass& worker_class);
std::vector<std::uint16_t> sent_peers(const WorkerClass& worker_class);

MessageFold unfolded(const MessageProgram& program);
MessageFold fold(const MessageProgram& program, const MachineGraph& graph, const PeerSlots& slots);

}  // namespace lightcone::hardware
