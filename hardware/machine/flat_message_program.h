// SPDX-License-Identifier: Apache-2.0
// A message program as the live fabric reads it: the steps of all classes in one array, with their times in
// picoseconds and their bytes on the wire of every kind of link, and a cursor for a worker's place in its loops.
#pragma once

#include <cstdint>
#include <vector>

#include "hardware/program/message_program.h"
#include "hardware/spec/fabric_spec.h"

namespace lightcone::hardware {

struct FlatStep {
  std::uint16_t receive = kNoPeer, send = kNoPeer;
  Delivery delivery = Delivery::unicast;
  std::uint64_t lead_ps = 0;     // compute and overhead, before the first byte leaves
  std::uint64_t work_ps = 0;     // bytes at the worker's rate
  std::uint32_t first_wire = 0;  // see wire_bytes
};

class FlatMessageProgram {
 public:
  FlatMessageProgram(const MessageProgram& program, const FabricSpec& fabric);

  // Of one worker: which step comes next.
  struct Cursor {
    std::uint32_t block = 0, block_end = 0, segment = 0, step = 0;
    std::uint64_t block_left = 0, segment_left = 0;
    [[nodiscard]] bool at_end() const { return block == block_end; }
  };
  [[nodiscard]] Cursor start(std::uint16_t worker_class) const;
  void advance(Cursor& cursor) const {
    if (++cursor.step != segments_[cursor.segment].end) return;
    if (--cursor.segment_left > 0) {
      cursor.step = segments_[cursor.segment].first;
    } else {
      next_segment(cursor);
    }
  }
  [[nodiscard]] const FlatStep& step(const Cursor& cursor) const { return steps_[cursor.step]; }
  // Of a step's message on a link of that kind: flags of the protocol and packet headers included.
  [[nodiscard]] std::uint64_t wire_bytes(std::uint32_t first_wire, std::uint16_t kind) const {
    return wire_[first_wire + kind];
  }

 private:
  struct Segment {
    std::uint64_t repeat = 1;
    std::uint32_t first = 0, end = 0;  // steps
  };
  struct Block {
    std::uint64_t repeat = 1;
    std::uint32_t first = 0, end = 0;  // segments
  };
  struct Blocks {
    std::uint32_t first = 0, end = 0;
  };
  void add_class(const WorkerClass& worker_class, const FabricSpec& fabric);
  void add_step(const MessageStep& step, const WorkerClass& worker_class, const FabricSpec& fabric);
  void enter_block(Cursor& cursor) const;
  void next_segment(Cursor& cursor) const;

  std::vector<FlatStep> steps_;
  std::vector<Segment> segments_;
  std::vector<Block> blocks_;
  std::vector<Blocks> classes_;
  std::vector<std::uint64_t> wire_;
};

}  // namespace lightcone::hardware
