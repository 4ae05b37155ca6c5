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
  virtual void write(std::uint64_t address, std::uint32_t bytes, double core_cycle) = 0;
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
  L2Cache(const L2Spec& spec, Crossbar& crossbar, CoreWheel& wheel, Pool<LineRequest>& requests, MemoryPort& memory);

  // Old contents: warm ranges are served as hits on first touch; the rest of the cache holds lines of earlier kernels,
  // a share of them modified, which must be written back before their room is used again.
  void start_with(std::vector<WarmRange> warm, double old_dirty_fraction);

  // The slice an SM of `partition` sends a request for `line` to; writes go home.
  [[nodiscard]] std::uint32_t target_slice(std::uint64_t line, std::uint32_t partition, bool write) const;
  [[nodiscard]] std::uint32_t partition_of_slice(std::uint32_t slice) const { return slice / slices_per_partition_; }

  // Deliveries of the wheel.
  void on_request(engine::Cycle now, std::uint32_t slice, std::uint32_t request);
  void on_home_request(engine::Cycle now, std::uint32_t slice, std::uint32_t fetch);
  void on_fill(engine::Cycle now, std::uint32_t slice, std::uint32_t fetch);

  [[nodiscard]] const L2Stats& stats() const { return stats_; }
  [[nodiscard]] std::size_t waiting() const;      // requests without a miss register
  [[nodiscard]] double data_busy_cycles() const;  // over all slices

 private:
  // Half of a slice's miss registers are for lines whose home it is, half for copies: were they shared, two slices
  // could fill theirs with requests to each other and wait for ever.
  struct MissRegisters {
    std::uint32_t taken = 0;
    std::deque<std::uint32_t> blocked;  // waiters (see Fetch) that found none free
  };
  struct Slice {
    Server data;
    TagStore tags;
    MissRegisters home, copies;
  };
  // A line under way to a slice. Waiters are requests, or (bit 31 set) fetches of the other partition's slice.
  struct Fetch {
    std::uint64_t line = 0;
    std::uint32_t slice = 0;
    std::uint32_t first_waiter = kNone;
    std::uint32_t last_waiter = kNone;
    std::uint32_t next = kNone;  // as a waiter
    std::uint8_t sectors = 0;
    DataSource source = DataSource::hbm;
  };
  static constexpr std::uint32_t kFetchBit = 0x80000000u;

  void read(engine::Cycle now, std::uint32_t slice, std::uint32_t waiter);
  void start_fetch(engine::Cycle now, std::uint32_t slice, std::uint64_t line, std::uint8_t sectors,
                   std::uint32_t waiter, std::uint32_t local);
  void append_waiter(Fetch& fetch, std::uint32_t waiter);
  std::uint32_t& next_of(std::uint32_t waiter);
  void answer(engine::Cycle now, std::uint32_t slice, std::uint32_t waiter, DataSource source, double ready);
  void install(engine::Cycle now, std::uint32_t slice, std::uint32_t local, std::uint8_t sectors, bool dirty);
  bool take_warm(std::uint64_t line);
  [[nodiscard]] bool is_home(std::uint32_t slice, std::uint64_t line) const;
  [[nodiscard]] std::uint32_t local_line(std::uint32_t slice, std::uint64_t line) const;
  [[nodiscard]] std::uint64_t key(std::uint32_t slice, std::uint64_t line) const {
    return line * 2 + (is_home(slice, line) ? 0 : 1);
  }

  const L2Spec spec_;
  Crossbar& crossbar_;
  CoreWheel& wheel_;
  Pool<LineRequest>& requests_;
  MemoryPort& memory_;
  AddressInterleave interleave_;
  std::uint32_t slices_per_partition_;
  std::vector<Slice> slices_;
  Pool<Fetch> fetches_;
  LineTable under_way_;
  std::vector<WarmRange> warm_;
  L2Stats stats_;
};

}  // namespace lightcone::hardware
