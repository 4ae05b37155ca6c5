// SPDX-License-Identifier: Apache-2.0
// What a message program puts on every link of the machine, and the share of its links that each sender can count on
// when all send at once. Nothing here waits for anything: it is counting.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "hardware/program/message_program.h"
#include "hardware/spec/machine_graph.h"
#include "sim/base/units.h"

namespace lightcone::hardware {

// Where the messages of one worker go: a peer of its list, its group through the switch, or its group's copies into it.
struct SendWay {
  std::vector<LinkIndex> links;  // every link that carries the payload once
  Seconds latency;               // of the longest way among them; of reduced_load there and back
  BytesPerSecond share{0};       // payload per second when all workers of the program send; 0: nothing crosses a link
};

class MessageTraffic {
 public:
  MessageTraffic(const MessageProgram& program, const MachineGraph& graph);

  // The way of a step that sends; the worker must send so somewhere in its program.
  [[nodiscard]] const SendWay& way(std::uint32_t worker, const MessageStep& step) const;
  [[nodiscard]] const std::vector<Bytes>& wire() const { return wire_; }  // by link, headers and flags included
  // Of the link that takes longest to carry its load: that time, and which it is.
  [[nodiscard]] Seconds busiest() const;
  [[nodiscard]] LinkIndex busiest_link() const;

 private:
  using Target = std::uint32_t;  // peer slot, or one of the two below
  static constexpr Target kMulticast = 0xfffffffe, kReducedLoad = 0xfffffffd;
  struct Load {
    double payload = 0, wire = 0;  // bytes over the whole program
  };
  static Target target(const MessageStep& step);
  void collect(const MessageProgram& program, const MachineGraph& graph);
  void add_way(std::uint32_t worker, Target to, const Load& load);
  void share_out();
  [[nodiscard]] std::vector<LinkIndex> links_of(const MessageWorker& worker, Target to, Seconds& latency) const;

  const MessageProgram& program_;
  const MachineGraph& graph_;
  std::vector<std::map<Target, SendWay>> ways_;  // by worker
  std::vector<std::map<Target, Load>> loads_;    // by worker
  std::vector<Bytes> wire_;
};

}  // namespace lightcone::hardware
