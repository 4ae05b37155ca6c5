// SPDX-License-Identifier: Apache-2.0
// The L2 cache: slices with tags, a data port and miss registers, in one or two partitions. Every line has a home
// slice. An SM talks to the slice of its own partition: if that is not the home, the partition keeps a copy of what
// its SMs read (the A100 white paper: "each L2 partition caches data for memory accesses from SMs in the GPCs directly
// connected to the partition"), so data that all SMs read takes its room twice. Writes go to the home slice and stay
// there until evicted (write-back); whole sectors are written without a fetch.
//
// Not modelled: compression, residency controls, invalidation of copies on a write (kernels do not read what another
// SM is writing), and atomics (they take the time of a write).
#pragma once

#include <deque>
#include <vector>

#include "hardware/parts/address_interleave.h"
#include "hardware/parts/crossbar.h"
#include "hardware/parts/line_request.h"
#include "hardware/parts/line_table.h"
#include "hardware/parts/server.h"
#include "hardware/parts/tag_store.h"
#include "hardware/spec/gpu_spec.h"
#include "sim/engine/event_wheel.h"

namespace lightcone::hardware {

using CoreWheel = engine::EventWheel<Message>;

// Where misses and write-backs go. `fetch` comes back with the data (L2Cache::fill).
class MemoryPort {
 public:
  virtual ~MemoryPort() = default;
  virtual void read(std::uint64_t address, std::uint32_t bytes, std::uint32_t slice, std::uint32_t fetch,
                    double core_cycle) = 0;
  // Returns when the next write to that place can be taken: later than `core_cycle` while the write buffer is full.
  virtual double write(std::uint64_t address, std::uint32_t bytes, double core_cycle) = 0;
};

// Lines that the cache holds when the kernel starts, as far as they are asked for: a share of a tensor.
struct WarmRange {
  std::uint64_t first_line = 0;
  std::uint64_t lines = 0;
  double fraction = 0;
  std::vector<std::uint64_t> used{};  // bit per line: no longer "as at the start"
};

struct L2Stats {
  std::uint64_t read_bytes = 0, hit_bytes = 0, written_bytes = 0, far_bytes = 0;
  std::uint64_t hbm_read_bytes = 0, hbm_written_bytes = 0;
};

class L2Cache {
 public:
  // What the tags of a slice can tell apart: lines of the kernel's tensors, and lines that were there before.
  static constexpr std::uint32_t kMostOldLines = 1u << 18, kMostLines = (1u << 23) - kMostOldLines;

  L2Cache(const L2Spec& spec, Crossbar& crossbar, CoreWheel& wheel, MemoryPort& memory);

  // Old contents: warm ranges are served as hits on first touch; the rest of the cache holds lines of earlier kernels,
  // a share of them modified, which must be written back before their room is used again.
  void start_with(std::vector<WarmRange> warm, double old_dirty_fraction);

  // Where a line lives: to be asked once per request.
  [[nodiscard]] AddressInterleave::Place home(std::uint64_t line) const { return interleave_.place(line); }
  // The slice an SM of `partition` sends a request to; writes go home.
  [[nodiscard]] std::uint32_t target_slice(std::uint32_t home, std::uint32_t partition, bool write) const {
    const std::uint32_t first = partition * slices_per_partition_;
    if (write || (home >= first && home < first + slices_per_partition_)) return home;
    return first + (home >= slices_per_partition_ ? home - slices_per_partition_ : home);
  }
  [[nodiscard]] std::uint32_t partition_of_slice(std::uint32_t slice) const { return slice / slices_per_partition_; }

  // Deliveries of the wheel.
  void on_request(engine::Cycle now, std::uint32_t slice, const LineRequest& request);
  void on_home_request(engine::Cycle now, std::uint32_t slice, std::uint32_t fetch);
  void on_fill(engine::Cycle now, std::uint32_t slice, std::uint32_t fetch);

  [[nodiscard]] const L2Stats& stats() const { return stats_; }
  [[nodiscard]] std::size_t waiting() const;      // requests without a miss register
  [[nodiscard]] double data_busy_cycles() const;  // over all slices

 private:
  // Who asks a slice for a line: an SM, or (fetch set) the other partition's slice, whose fetch waits for it.
  struct Asker {
    LineRequest request;
    std::uint32_t fetch = kNone;
    std::uint32_t next = kNone;  // asker waiting for the same line
  };
  // With two partitions, half of a slice's miss registers are for lines whose home it is, half for copies: were they
  // shared, two slices could fill theirs with requests to each other and wait for ever.
  struct MissRegisters {
    std::uint32_t taken = 0;
    std::deque<Asker> blocked;  // that found none free
  };
  struct Slice {
    Server data;
    TagStore tags;
    MissRegisters home, copies;
  };
  // A line under way to a slice, and the askers that wait for it, in order.
  struct Fetch {
    LineRequest wanted;
    std::uint16_t slice = 0;  // that fetches: the home, or its counterpart in the other partition
    DataSource source = DataSource::hbm;
    std::uint32_t first_asker = kNone;
    std::uint32_t last_asker = kNone;
  };

  [[nodiscard]] std::uint32_t limit(bool home) const {
    const std::uint32_t copies = spec_.partitions > 1 ? spec_.mshrs_per_slice / 2 : 0;
    return home ? spec_.mshrs_per_slice - copies : copies;
  }
  void read(engine::Cycle now, std::uint32_t slice, const Asker& asker);
  void start_fetch(engine::Cycle now, std::uint32_t slice, const Asker& asker, std::uint8_t missing);
  void wait_for(Fetch& fetch, const Asker& asker);
  void answer(engine::Cycle now, std::uint32_t slice, const Asker& asker, DataSource source, double ready);
  void install(engine::Cycle now, std::uint32_t slice, std::uint32_t local, std::uint8_t sectors, bool dirty);
  bool take_warm(std::uint64_t line);
  [[nodiscard]] static std::uint64_t key(std::uint64_t line, bool copy) { return line * 2 + (copy ? 1 : 0); }

  const L2Spec spec_;
  Crossbar& crossbar_;
  CoreWheel& wheel_;
  MemoryPort& memory_;
  AddressInterleave interleave_;
  std::uint32_t slices_per_partition_;
  std::vector<Slice> slices_;
  Pool<Fetch> fetches_;
  Pool<Asker> askers_;
  LineTable under_way_;
  std::vector<WarmRange> warm_;
  L2Stats stats_;
};

}  // namespace lightcone::hardware
