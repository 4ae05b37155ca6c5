// SPDX-License-Identifier: Apache-2.0
#include "hardware/machine/flat_message_program.h"

#include <cmath>

namespace lightcone::hardware {

namespace {

std::uint64_t picoseconds(Bytes bytes, BytesPerSecond rate) {
  return rate.count() > 0 ? static_cast<std::uint64_t>(bytes.real() / rate.count() * 1e12 + 0.5) : 0;
}

}  // namespace

FlatMessageProgram::FlatMessageProgram(const MessageProgram& program, const FabricSpec& fabric) {
  for (const WorkerClass& worker_class : program.classes) add_class(worker_class, fabric);
}

// Loops that run nothing are left out.
void FlatMessageProgram::add_class(const WorkerClass& worker_class, const FabricSpec& fabric) {
  Blocks own{static_cast<std::uint32_t>(blocks_.size()), 0};
  for (const MessageBlock& block : worker_class.blocks) {
    Block flat{block.repeat, static_cast<std::uint32_t>(segments_.size()), 0};
    for (const MessageSegment& segment : block.segments) {
      if (segment.repeat == 0 || segment.steps.empty()) continue;
      const auto first = static_cast<std::uint32_t>(steps_.size());
      for (const MessageStep& step : segment.steps) add_step(step, worker_class, fabric);
      segments_.push_back({segment.repeat, first, static_cast<std::uint32_t>(steps_.size())});
    }
    flat.end = static_cast<std::uint32_t>(segments_.size());
    if (flat.repeat > 0 && flat.end > flat.first) blocks_.push_back(flat);
  }
  own.end = static_cast<std::uint32_t>(blocks_.size());
  classes_.push_back(own);
}

void FlatMessageProgram::add_step(const MessageStep& step, const WorkerClass& worker_class, const FabricSpec& fabric) {
  FlatStep flat;
  flat.receive = step.receive;
  flat.send = step.delivery == Delivery::unicast ? step.send : kNoPeer;
  flat.delivery = step.delivery;
  flat.lead_ps = step.compute.count() + (step.bytes.count() > 0 ? worker_class.step_overhead.count() : 0);
  const bool local = step.delivery == Delivery::unicast && step.send == kNoPeer;
  const bool own_rate = local && worker_class.local_rate.count() > 0;
  flat.work_ps = picoseconds(step.bytes, own_rate ? worker_class.local_rate : worker_class.rate);
  flat.first_wire = static_cast<std::uint32_t>(wire_.size());
  const Bytes stored(static_cast<std::uint64_t>(std::llround(step.bytes.real() * worker_class.wire_per_payload)));
  for (const LinkSpec& link : fabric.links) wire_.push_back(link.wire_bytes(stored).count());
  steps_.push_back(flat);
}

FlatMessageProgram::Cursor FlatMessageProgram::start(std::uint16_t worker_class) const {
  Cursor cursor;
  cursor.block = classes_[worker_class].first;
  cursor.block_end = classes_[worker_class].end;
  enter_block(cursor);
  return cursor;
}

void FlatMessageProgram::enter_block(Cursor& cursor) const {
  if (cursor.at_end()) return;
  const Block& block = blocks_[cursor.block];
  cursor.block_left = block.repeat;
  cursor.segment = block.first;
  cursor.segment_left = segments_[cursor.segment].repeat;
  cursor.step = segments_[cursor.segment].first;
}

void FlatMessageProgram::next_segment(Cursor& cursor) const {
  const Block& block = blocks_[cursor.block];
  if (++cursor.segment == block.end) {
    cursor.segment = block.first;
    if (--cursor.block_left == 0) {
      ++cursor.block;
      return enter_block(cursor);
    }
  }
  cursor.segment_left = segments_[cursor.segment].repeat;
  cursor.step = segments_[cursor.segment].first;
}

}  // namespace lightcone::hardware
