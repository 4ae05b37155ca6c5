// SPDX-License-Identifier: Apache-2.0
#include "hardware/parts/l2_cache.h"

#include <array>
#include <bit>

namespace lightcone::hardware {

namespace {
// Line numbers inside a slice: homes below, copies of the other partition's lines above, old contents at the top of
// the homes' range, where no tensor may reach.
constexpr std::uint32_t kCopyBit = L2Cache::kMostLines + L2Cache::kMostOldLines;
constexpr std::uint32_t kOldLines = L2Cache::kMostLines;
static_assert(kCopyBit == 1u << 23 && 2 * kCopyBit - 1 >= TagStore::kMaxLine);

constexpr double sector_bytes(std::uint8_t sectors) { return kSectorBytes[sectors & 0xf]; }

// HBM is read in aligned bursts of one sector, half a line or a line: the smallest that covers `sectors`.
constexpr std::uint8_t burst_covering(std::uint8_t sectors) {
  if (std::popcount(sectors) == 1) return sectors;
  if ((sectors & 0b1100) == 0) return 0b0011;
  if ((sectors & 0b0011) == 0) return 0b1100;
  return 0b1111;
}
}  // namespace

L2Cache::L2Cache(const L2Spec& spec, Crossbar& crossbar, CoreWheel& wheel, MemoryPort& memory)
    : spec_(spec),
      crossbar_(crossbar),
      wheel_(wheel),
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

void L2Cache::on_request(engine::Cycle now, std::uint32_t slice, const LineRequest& request) {
  if (!request.write) {
    read(now, slice, Asker{request});
    return;
  }
  const double cycles = sector_bytes(request.sectors) / spec_.slice_write_bytes_per_clock;
  const double done = slices_[slice].data.serve(static_cast<double>(now), cycles);
  stats_.written_bytes += request.bytes();
  take_warm(request.line);
  install(now, slice, request.local, request.sectors, true);
  answer(now, slice, Asker{request}, DataSource::l2_near, done);
}

void L2Cache::on_home_request(engine::Cycle now, std::uint32_t slice, std::uint32_t fetch) {
  read(now, slice, Asker{fetches_[fetch].wanted, fetch});
}

void L2Cache::read(engine::Cycle now, std::uint32_t slice, const Asker& asker) {
  const LineRequest& r = asker.request;
  const bool home = r.home == slice;
  Slice& s = slices_[slice];
  std::uint8_t present = s.tags.touch(home ? r.local : r.local | kCopyBit);
  if ((present & r.sectors) != r.sectors && home && take_warm(r.line)) {
    install(now, slice, r.local, 0xf, false);
    present = 0xf;
  }
  if ((present & r.sectors) == r.sectors) {
    const double done = s.data.serve(static_cast<double>(now), sector_bytes(r.sectors) / spec_.slice_bytes_per_clock);
    if (asker.fetch == kNone) stats_.hit_bytes += r.bytes();
    answer(now, slice, asker, DataSource::l2_near, done + spec_.hit_latency.real());
    return;
  }
  const auto missing = static_cast<std::uint8_t>(r.sectors & ~present);
  const std::uint32_t under_way = under_way_.find(key(r.line, !home));
  if (under_way != kNone && (fetches_[under_way].wanted.sectors & missing) == missing) {
    wait_for(fetches_[under_way], asker);
    return;
  }
  MissRegisters& registers = home ? s.home : s.copies;
  if (under_way != kNone || registers.taken >= limit(home)) {
    registers.blocked.push_back(asker);  // asked again when a register becomes free
    return;
  }
  start_fetch(now, slice, asker, missing);
}

void L2Cache::start_fetch(engine::Cycle now, std::uint32_t slice, const Asker& asker, std::uint8_t missing) {
  const bool copy = asker.request.home != slice;
  Slice& s = slices_[slice];
  ++(copy ? s.copies : s.home).taken;
  const std::uint32_t index = fetches_.take();
  Fetch& fetch = fetches_[index];
  fetch = Fetch{};
  fetch.wanted = asker.request;
  fetch.wanted.sectors = copy ? missing : burst_covering(missing);
  fetch.slice = static_cast<std::uint16_t>(slice);
  wait_for(fetch, asker);
  // The line takes its place at once, empty; so others that ask for it meanwhile find it near the front of its set.
  install(now, slice, copy ? fetch.wanted.local | kCopyBit : fetch.wanted.local, 0, false);
  under_way_.insert(key(fetch.wanted.line, copy), index);
  const double start = s.data.serve(static_cast<double>(now), 1);  // the tag look-up takes the pipeline one cycle
  const double known = start + spec_.hit_latency.real();
  if (copy) {
    fetch.source = DataSource::l2_far;
    const double arrival = crossbar_.cross(partition_of_slice(slice), known, 32);
    wheel_.send(now, visible_at(arrival, now), Message{MessageKind::home_request, fetch.wanted.home, index, {}});
    return;
  }
  const auto first = static_cast<std::uint32_t>(std::countr_zero(fetch.wanted.sectors));
  const std::uint32_t bytes = fetch.wanted.bytes();
  stats_.hbm_read_bytes += bytes;
  memory_.read(std::uint64_t{fetch.wanted.line} * 128 + first * 32, bytes, slice, index, known);
}

void L2Cache::wait_for(Fetch& fetch, const Asker& asker) {
  const std::uint32_t index = askers_.take();
  askers_[index] = asker;
  askers_[index].next = kNone;
  if (fetch.last_asker == kNone) {
    fetch.first_asker = index;
  } else {
    askers_[fetch.last_asker].next = index;
  }
  fetch.last_asker = index;
}

void L2Cache::on_fill(engine::Cycle now, std::uint32_t slice, std::uint32_t index) {
  Slice& s = slices_[slice];
  const Fetch fetch = fetches_[index];
  const bool copy = fetch.wanted.home != slice;
  under_way_.erase(key(fetch.wanted.line, copy));
  fetches_.give_back(index);
  MissRegisters& registers = copy ? s.copies : s.home;
  --registers.taken;
  install(now, slice, copy ? fetch.wanted.local | kCopyBit : fetch.wanted.local, fetch.wanted.sectors, false);
  for (std::uint32_t i = fetch.first_asker; i != kNone;) {
    const Asker asker = askers_[i];
    askers_.give_back(i);
    const double cycles = sector_bytes(asker.request.sectors) / spec_.slice_bytes_per_clock;
    answer(now, slice, asker, fetch.source, s.data.serve(static_cast<double>(now), cycles));
    i = asker.next;
  }
  // Those that found no miss register, or the line half fetched, ask again now, in order.
  for (std::size_t again = registers.blocked.size(); again > 0 && registers.taken < limit(!copy); --again) {
    const Asker asker = registers.blocked.front();
    registers.blocked.pop_front();
    read(now, slice, asker);
  }
}

void L2Cache::answer(engine::Cycle now, std::uint32_t slice, const Asker& asker, DataSource source, double ready) {
  if (asker.fetch != kNone) {
    Fetch& fetch = fetches_[asker.fetch];
    if (source == DataSource::hbm) fetch.source = DataSource::hbm;
    const std::uint32_t bytes = fetch.wanted.bytes();
    stats_.far_bytes += bytes;
    const double arrival = crossbar_.cross(partition_of_slice(slice), ready, bytes);
    wheel_.send(now, visible_at(arrival, now), Message{MessageKind::fill, fetch.slice, asker.fetch, {}});
    return;
  }
  Message data{MessageKind::sm_data, asker.request.sm, 0, asker.request};
  data.request.source = source;
  if (!data.request.write) stats_.read_bytes += data.request.bytes();
  wheel_.send(now, visible_at(ready + crossbar_.response_latency(), now), data);
}

void L2Cache::install(engine::Cycle now, std::uint32_t slice, std::uint32_t local, std::uint8_t sectors, bool dirty) {
  const auto victim = slices_[slice].tags.install(local, sectors, dirty);
  if (!victim || victim->dirty_sectors == 0) return;
  const std::uint64_t line = interleave_.line({slice, victim->line & ~kCopyBit});
  const std::uint8_t burst = burst_covering(victim->dirty_sectors);
  const auto bytes = static_cast<std::uint32_t>(sector_bytes(burst));
  stats_.hbm_written_bytes += bytes;
  const std::uint64_t address = line * 128 + static_cast<std::uint32_t>(std::countr_zero(burst)) * 32;
  // A slice whose memory takes no more writes has nowhere to put its victims: it stands still.
  slices_[slice].data.hold_until(memory_.write(address, bytes, static_cast<double>(now)));
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
