// SPDX-License-Identifier: Apache-2.0
#include "hardware/parts/l2_cache.h"

#include <bit>

namespace lightcone::hardware {

namespace {
// Line numbers inside a slice: homes below, copies of the other partition's lines above, old contents at the top of
// the homes' range (no tensor reaches that far: it would not fit the memory).
constexpr std::uint32_t kCopyBit = 1u << 23;
constexpr std::uint32_t kOldLines = kCopyBit - (1u << 18);

constexpr double sector_bytes(std::uint8_t sectors) { return 32.0 * std::popcount(sectors); }

// HBM is read in aligned bursts of one sector, half a line or a line: the smallest that covers `sectors`.
constexpr std::uint8_t burst_covering(std::uint8_t sectors) {
  if (std::popcount(sectors) == 1) return sectors;
  if ((sectors & 0b1100) == 0) return 0b0011;
  if ((sectors & 0b0011) == 0) return 0b1100;
  return 0b1111;
}
}  // namespace

L2Cache::L2Cache(const L2Spec& spec, Crossbar& crossbar, CoreWheel& wheel, Pool<LineRequest>& requests,
                 MemoryPort& memory)
    : spec_(spec),
      crossbar_(crossbar),
      wheel_(wheel),
      requests_(requests),
      memory_(memory),
      interleave_(spec.slices, static_cast<std::uint32_t>(spec.interleave.count() / spec.line.count())),
      slices_per_partition_(spec.slices / spec.partitions) {
  LIGHTCONE_ASSERT(spec.slices % spec.partitions == 0 && spec.partitions <= 2);
  LIGHTCONE_ASSERT(spec.line == Bytes(128) && spec.sector == Bytes(32));
  const auto sets = static_cast<std::uint32_t>(spec.capacity.count() / spec.line.count() / spec.slices / spec.ways);
  slices_.reserve(spec.slices);
  for (std::uint32_t i = 0; i < spec.slices; ++i) slices_.push_back(Slice{{}, TagStore(sets, spec.ways), {}, {}});
}

void L2Cache::start_with(std::vector<WarmRange> warm, double old_dirty_fraction) {
  warm_ = std::move(warm);
  for (WarmRange& range : warm_) range.used.assign((range.lines + 63) / 64, 0);
  for (Slice& slice : slices_) slice.tags.fill_with_old_lines(kOldLines, old_dirty_fraction);
}

bool L2Cache::is_home(std::uint32_t slice, std::uint64_t line) const { return interleave_.place(line).unit == slice; }

std::uint32_t L2Cache::local_line(std::uint32_t slice, std::uint64_t line) const {
  const AddressInterleave::Place place = interleave_.place(line);
  LIGHTCONE_ASSERT(place.local_line < kOldLines);
  return place.unit == slice ? place.local_line : place.local_line | kCopyBit;
}

std::uint32_t L2Cache::target_slice(std::uint64_t line, std::uint32_t partition, bool write) const {
  const std::uint32_t home = interleave_.place(line).unit;
  if (write || partition_of_slice(home) == partition) return home;
  return home % slices_per_partition_ + partition * slices_per_partition_;
}

bool L2Cache::take_warm(std::uint64_t line) {
  for (WarmRange& range : warm_) {
    if (line < range.first_line || line >= range.first_line + range.lines) continue;
    const std::uint64_t index = line - range.first_line;
    std::uint64_t& word = range.used[index / 64];
    const std::uint64_t bit = std::uint64_t{1} << (index % 64);
    if ((word & bit) != 0) return false;
    word |= bit;
    // Which lines of a partly resident tensor are there: a fixed pseudo-random choice.
    const std::uint64_t hash = (index * 0x9e3779b97f4a7c15ull) >> 40;
    return static_cast<double>(hash) < range.fraction * static_cast<double>(1u << 24);
  }
  return false;
}

void L2Cache::on_request(engine::Cycle now, std::uint32_t slice, std::uint32_t request) {
  LineRequest& r = requests_[request];
  if (!r.write) {
    read(now, slice, request);
    return;
  }
  const double done =
      slices_[slice].data.serve(static_cast<double>(now), sector_bytes(r.sectors) / spec_.slice_bytes_per_clock);
  stats_.written_bytes += r.bytes;
  take_warm(r.line);
  install(now, slice, local_line(slice, r.line), r.sectors, true);
  answer(now, slice, request, DataSource::l2_near, done);
}

void L2Cache::on_home_request(engine::Cycle now, std::uint32_t slice, std::uint32_t fetch) {
  read(now, slice, fetch | kFetchBit);
}

void L2Cache::read(engine::Cycle now, std::uint32_t slice, std::uint32_t waiter) {
  const bool from_fetch = (waiter & kFetchBit) != 0;
  const std::uint64_t line = from_fetch ? fetches_[waiter & ~kFetchBit].line : requests_[waiter].line;
  const std::uint8_t sectors = from_fetch ? fetches_[waiter & ~kFetchBit].sectors : requests_[waiter].sectors;
  Slice& s = slices_[slice];
  const std::uint32_t local = local_line(slice, line);
  const bool home = (local & kCopyBit) == 0;
  std::uint8_t present = s.tags.touch(local);
  if ((present & sectors) != sectors && home && take_warm(line)) {
    install(now, slice, local, 0xf, false);
    present = 0xf;
  }
  if ((present & sectors) == sectors) {
    const double done = s.data.serve(static_cast<double>(now), sector_bytes(sectors) / spec_.slice_bytes_per_clock);
    if (!from_fetch) stats_.hit_bytes += requests_[waiter].bytes;
    answer(now, slice, waiter, DataSource::l2_near, done + spec_.hit_latency.real());
    return;
  }
  const auto missing = static_cast<std::uint8_t>(sectors & ~present);
  const std::uint32_t under_way = under_way_.find(key(slice, line));
  if (under_way != kNone && (fetches_[under_way].sectors & missing) == missing) {
    append_waiter(fetches_[under_way], waiter);
    return;
  }
  MissRegisters& registers = home ? s.home : s.copies;
  if (under_way != kNone || registers.taken >= spec_.mshrs_per_slice / 2) {
    registers.blocked.push_back(waiter);  // asked again when a register becomes free
    return;
  }
  start_fetch(now, slice, line, missing, waiter, local);
}

void L2Cache::start_fetch(engine::Cycle now, std::uint32_t slice, std::uint64_t line, std::uint8_t sectors,
                          std::uint32_t waiter, std::uint32_t local) {
  const bool copy = (local & kCopyBit) != 0;
  Slice& s = slices_[slice];
  ++(copy ? s.copies : s.home).taken;
  const std::uint32_t index = fetches_.take();
  Fetch& fetch = fetches_[index];
  fetch = Fetch{};
  fetch.line = line;
  fetch.slice = slice;
  fetch.sectors = copy ? sectors : burst_covering(sectors);
  append_waiter(fetch, waiter);
  under_way_.insert(key(slice, line), index);
  const double start = s.data.serve(static_cast<double>(now), 1);  // the tag look-up takes the pipeline one cycle
  const double known = start + spec_.hit_latency.real();
  if (copy) {
    const std::uint32_t home = interleave_.place(line).unit;
    fetch.source = DataSource::l2_far;
    const double arrival = crossbar_.cross(partition_of_slice(slice), known, 32);
    wheel_.send(now, visible_at(arrival, now),
                Message{MessageKind::home_request, static_cast<std::uint16_t>(home), index});
    return;
  }
  const auto first = static_cast<std::uint32_t>(std::countr_zero(fetch.sectors));
  const auto bytes = static_cast<std::uint32_t>(sector_bytes(fetch.sectors));
  stats_.hbm_read_bytes += bytes;
  memory_.read(line * 128 + first * 32, bytes, slice, index, known);
}

void L2Cache::append_waiter(Fetch& fetch, std::uint32_t waiter) {
  next_of(waiter) = kNone;
  if (fetch.last_waiter == kNone) {
    fetch.first_waiter = waiter;
  } else {
    next_of(fetch.last_waiter) = waiter;
  }
  fetch.last_waiter = waiter;
}

std::uint32_t& L2Cache::next_of(std::uint32_t waiter) {
  return (waiter & kFetchBit) != 0 ? fetches_[waiter & ~kFetchBit].next : requests_[waiter].next;
}

void L2Cache::on_fill(engine::Cycle now, std::uint32_t slice, std::uint32_t index) {
  Slice& s = slices_[slice];
  const Fetch fetch = fetches_[index];
  under_way_.erase(key(slice, fetch.line));
  fetches_.give_back(index);
  MissRegisters& registers = is_home(slice, fetch.line) ? s.home : s.copies;
  --registers.taken;
  install(now, slice, local_line(slice, fetch.line), fetch.sectors, false);
  for (std::uint32_t waiter = fetch.first_waiter; waiter != kNone;) {
    const std::uint32_t next = next_of(waiter);
    const double bytes = (waiter & kFetchBit) != 0 ? sector_bytes(fetch.sectors) : requests_[waiter].bytes;
    const double done = s.data.serve(static_cast<double>(now), bytes / spec_.slice_bytes_per_clock);
    answer(now, slice, waiter, fetch.source, done);
    waiter = next;
  }
  // Those that found no miss register, or the line half fetched, ask again now, in order.
  for (std::size_t again = registers.blocked.size(); again > 0 && registers.taken < spec_.mshrs_per_slice / 2;
       --again) {
    const std::uint32_t waiter = registers.blocked.front();
    registers.blocked.pop_front();
    read(now, slice, waiter);
  }
}

void L2Cache::answer(engine::Cycle now, std::uint32_t slice, std::uint32_t waiter, DataSource source, double ready) {
  if ((waiter & kFetchBit) != 0) {
    const std::uint32_t index = waiter & ~kFetchBit;
    Fetch& fetch = fetches_[index];
    if (source == DataSource::hbm) fetch.source = DataSource::hbm;
    const double bytes = sector_bytes(fetch.sectors);
    stats_.far_bytes += static_cast<std::uint64_t>(bytes);
    const double arrival = crossbar_.cross(partition_of_slice(slice), ready, bytes);
    wheel_.send(now, visible_at(arrival, now),
                Message{MessageKind::fill, static_cast<std::uint16_t>(fetch.slice), index});
    return;
  }
  LineRequest& r = requests_[waiter];
  r.source = source;
  if (!r.write) stats_.read_bytes += r.bytes;
  wheel_.send(now, visible_at(ready + crossbar_.response_latency(), now), Message{MessageKind::sm_data, r.sm, waiter});
}

void L2Cache::install(engine::Cycle now, std::uint32_t slice, std::uint32_t local, std::uint8_t sectors, bool dirty) {
  const auto victim = slices_[slice].tags.install(local, sectors, dirty);
  if (!victim || victim->dirty_sectors == 0) return;
  const std::uint64_t line = interleave_.line({slice, victim->line & ~kCopyBit});
  const std::uint8_t burst = burst_covering(victim->dirty_sectors);
  const auto bytes = static_cast<std::uint32_t>(sector_bytes(burst));
  stats_.hbm_written_bytes += bytes;
  memory_.write(line * 128 + static_cast<std::uint32_t>(std::countr_zero(burst)) * 32, bytes, static_cast<double>(now));
}

std::size_t L2Cache::waiting() const {
  std::size_t sum = 0;
  for (const Slice& slice : slices_) sum += slice.home.blocked.size() + slice.copies.blocked.size();
  return sum;
}

double L2Cache::data_busy_cycles() const {
  double busy = 0;
  for (const Slice& slice : slices_) busy += slice.data.busy_cycles();
  return busy;
}

}  // namespace lightcone::hardware
