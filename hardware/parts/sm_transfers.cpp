// SPDX-License-Identifier: Apache-2.0
// How boxes travel: the copy engine and the load/store unit cut them into lines and send these into the crossbar, as
// many at a time as may be in flight.
#include <algorithm>

#include "hardware/parts/streaming_multiprocessor.h"

namespace lightcone::hardware {

bool StreamingMultiprocessor::start_transfer(engine::Cycle now, ResidentCta& cta, RoleState& role, const Box& box,
                                             CopyPath path, bool store, std::int16_t pipe, std::uint8_t copies,
                                             std::uint16_t segment_bytes) {
  const ClippedBox part = clip(box, role.values);
  if (part.rows == 0 || part.row_bytes == 0) return false;
  const double bytes = static_cast<double>(part.rows) * static_cast<double>(part.row_bytes);
  (store ? work_.stored_bytes : work_.loaded_bytes) += bytes;

  std::uint64_t first_row = 0, rows = part.rows;
  if (copies > 1 && part.rows >= copies) {  // this CTA's share of a multicast box
    const std::uint64_t rank = index_ % copies;
    first_row = part.rows * rank / copies;
    rows = part.rows * (rank + 1) / copies - first_row;
  } else {
    copies = 1;
  }
  const std::uint32_t index = transfers_.take();
  Transfer& t = transfers_[index];
  t = Transfer{};
  t.slot = cta.slot;
  t.role = role.number;
  t.pipe = pipe;
  if (pipe >= 0) {
    const auto p = static_cast<std::size_t>(pipe);
    t.stage = static_cast<std::uint16_t>((role.acquired[p] - 1) % cta.pipes[p].pending.size());
  }
  t.store = store;
  t.through_l1 = path == CopyPath::lsu && !store && pipe < 0;
  t.copies = copies;
  t.segment_bytes = segment_bytes;
  t.address = gpu_.tensor_base[box.tensor] + part.offset + first_row * box.row_pitch_bytes;
  t.pitch = box.row_pitch_bytes;
  t.row_bytes = part.row_bytes;
  t.rows = rows;
  if (t.pitch == t.row_bytes) {  // contiguous: lines may span rows
    t.row_bytes *= t.rows;
    t.rows = 1;
  }
  if (store) {
    ++role.stores_to_send;
    ++gpu_.stores_under_way;
  }
  const bool by_tma = path == CopyPath::bulk && spec_.copy.tma;
  if (by_tma && spec_.copy.extra_latency.count() > 0) {
    gpu_.wheel.send(now, now + spec_.copy.extra_latency.count(), Message{MessageKind::copy_start, index_, index, {}});
  } else {
    on_copy_start(now, index);
  }
  return true;
}

StreamingMultiprocessor::Queue& StreamingMultiprocessor::queue_of(const Transfer& t) {
  if (t.store) return stores_;
  return t.pipe >= 0 ? bulk_ : loads_;
}

void StreamingMultiprocessor::on_copy_start(engine::Cycle now, std::uint32_t transfer) {
  Queue& queue = queue_of(transfers_[transfer]);
  queue.transfers.push_back(transfer);
  send_lines(now, queue);
}

void StreamingMultiprocessor::send_lines(engine::Cycle now, Queue& queue) {
  while (!queue.transfers.empty() && queue.in_flight < queue.limit) {
    const std::uint32_t index = queue.transfers.front();
    Transfer& t = transfers_[index];
    send_line(now, queue, t, index);
    if (!t.all_sent()) continue;
    queue.transfers.pop_front();
    if (t.store) {
      ResidentCta& cta = *slots_[t.slot];
      RoleState& role = cta.roles[t.role];
      if (--role.stores_to_send == 0 && role.waiting == Waiting::stores && !role.wake_sent) {
        wake(now, t.slot, t.role, std::max(write_port_.free_at(), static_cast<double>(now)));
      }
    } else if (t.lines_out == 0) {  // every line was in the L1
      gpu_.wheel.send(now, visible_at(t.done, now), Message{MessageKind::transfer_done, index_, index, {}});
    }
  }
}

void StreamingMultiprocessor::send_line(engine::Cycle now, Queue& queue, Transfer& t, std::uint32_t index) {
  const std::uint64_t start = t.address + t.row * t.pitch + t.column;
  const std::uint64_t in_line = start % 128;
  const std::uint64_t bytes = std::min<std::uint64_t>(128 - in_line, t.row_bytes - t.column);
  t.column += bytes;
  if (t.column == t.row_bytes) {
    t.column = 0;
    ++t.row;
  }
  const std::uint64_t line = start / 128;
  const auto first_sector = static_cast<unsigned>(in_line / 32);
  const auto last_sector = static_cast<unsigned>((in_line + bytes - 1) / 32);
  const auto sectors = static_cast<std::uint8_t>(((2u << last_sector) - 1) & ~((1u << first_sector) - 1));
  const auto time = static_cast<double>(now);

  double leaves = t.store ? write_port_.serve(time, static_cast<double>(bytes) / gpu_.gpu.noc.sm_write_bytes_per_clock)
                          : request_port_.serve(time, 1 / spec_.copy.lines_per_clock);
  if (!t.store) leaves += spec_.l1_latency.real();
  if (t.segment_bytes > 0) {  // every segment is an access of its own to the load/store unit
    const double segments = static_cast<double>(bytes) / t.segment_bytes;
    leaves = std::max(leaves, request_port_.serve(time, segments / spec_.copy.lines_per_clock));
  }
  if (t.through_l1 && (l1_.touch(static_cast<std::uint32_t>(line) & (TagStore::kMaxLine >> 1)) & sectors) == sectors) {
    const double read = l1_data_.serve(time, static_cast<double>(bytes) / spec_.l1_bytes_per_clock);
    const double there = read + spec_.l1_latency.real();
    if (there > leaves) l1_limits_until_ = read;
    t.done = std::max({t.done, leaves, there});
    return;
  }
  const AddressInterleave::Place home = gpu_.l2.home(line);
  const std::uint32_t slice = gpu_.l2.target_slice(home.unit, partition_, t.store);
  double arrives = leaves + gpu_.crossbar.request_latency();
  if (t.store && gpu_.l2.partition_of_slice(slice) != partition_) {
    arrives = gpu_.crossbar.cross(partition_, arrives, static_cast<double>(bytes));
  }
  Message message{MessageKind::slice_request, static_cast<std::uint16_t>(slice), 0};
  LineRequest& r = message.request;
  r.line = static_cast<std::uint32_t>(line);
  r.local = home.local_line;
  r.home = static_cast<std::uint16_t>(home.unit);
  r.transfer = index;
  r.sm = index_;
  r.sectors = sectors;
  r.copies = t.copies;
  r.write = t.store;
  ++t.lines_out;
  ++queue.in_flight;
  gpu_.wheel.send(now, visible_at(arrives, now), message);
}

void StreamingMultiprocessor::on_data(engine::Cycle now, const LineRequest& r) {
  Transfer& t = transfers_[r.transfer];
  double end = static_cast<double>(now);
  if (!r.write)
    end = read_port_.serve(end, static_cast<double>(r.bytes()) * r.copies / gpu_.gpu.noc.sm_read_bytes_per_clock);
  if (t.through_l1) {
    l1_.install(static_cast<std::uint32_t>(r.line) & (TagStore::kMaxLine >> 1), r.sectors, false);
    const double written = l1_data_.serve(static_cast<double>(now), r.bytes() / spec_.l1_bytes_per_clock);
    if (written > end) l1_limits_until_ = end = written;
  }
  t.done = std::max(t.done, end);
  t.source = std::max(t.source, r.source);
  Queue& queue = queue_of(t);
  --queue.in_flight;
  if (--t.lines_out == 0 && t.all_sent()) {
    gpu_.wheel.send(now, visible_at(t.done, now), Message{MessageKind::transfer_done, index_, r.transfer, {}});
  }
  send_lines(now, queue);
}

void StreamingMultiprocessor::on_transfer_done(engine::Cycle now, std::uint32_t index) {
  account(now);
  const Transfer t = transfers_[index];
  transfers_.give_back(index);
  if (t.store) {
    --gpu_.stores_under_way;
    return;
  }
  accounting_.data_came_from(t.source);
  ResidentCta& cta = *slots_[t.slot];
  if (t.pipe >= 0) {
    if (--cta.pipes[static_cast<std::size_t>(t.pipe)].pending[t.stage] == 0) {
      stage_filled(now, cta, static_cast<std::size_t>(t.pipe), t.stage);
    }
    return;
  }
  RoleState& role = cta.roles[t.role];
  if (--role.loads_under_way == 0 && role.waiting == Waiting::loads && !role.wake_sent) {
    wake(now, t.slot, t.role, static_cast<double>(now));
  }
}

}  // namespace lightcone::hardware
