// SPDX-License-Identifier: Apache-2.0
// The timeline of one CTA that has its SM to itself: its roles run in parallel, wait for each other through pipes and
// barriers, and share the SM's units, each a queue of fixed rate. Loops are played until the pipes have turned over
// twice and extended from the period seen. This gives what no sum of work can: fill, drain, the serial parts of a role,
// and the latency that a short pipe cannot hide.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "hardware/machine/work_summary.h"
#include "hardware/program/tile_program.h"
#include "hardware/spec/gpu_spec.h"

namespace lightcone::hardware {

// Rates and latencies that one SM sees, in its own cycles.
struct SmView {
  const GpuSpec* gpu = nullptr;
  double port_bytes_per_clock = 64;  // crossbar port, towards the SM
  double l2_bytes_per_clock = 64;    // its share of all L2 slices
  double l2_write_bytes_per_clock = 0;
  double store_bytes_per_clock = 64;  // the smaller of the two, away from the SM
  double l2_latency = 0;              // plain load, hit
  double store_latency = 0;           // until the acknowledgement
  double mean_load_latency = 0;       // over all requested bytes
  std::vector<double> load_latency;   // of each tensor: L2 latency and its part of the way to HBM
};

struct CtaTime {
  double alone = 0;  // cycles from the first instruction to the last store's acknowledgement
  double next = 0;   // added by one more work item of a persistent CTA whose roles run ahead
};

// `accesses`: of this class, in order (WorkSummary). One instance per class; results are remembered by loop counts.
class CtaTimeline {
 public:
  CtaTimeline(const TileProgram& program, const CtaClass& cta_class, const std::vector<Access>& accesses,
              const SmView& sm);
  CtaTime time(const std::array<LoopRange, 2>& loops);

 private:
  enum class Kind : std::uint8_t {
    loop_begin,
    loop_end,
    acquire,
    commit,
    wait,
    release,
    load,
    load_registers,
    wait_loads,
    store,
    wait_stores,
    mma,
    mma_wait,
    vector,
    shared,
    barrier,
    delay
  };
  // An operation with its durations worked out: `a` and `b` are unit times, `latency` what follows them.
  struct Step {
    Kind kind;
    std::uint8_t index = 0;
    bool bulk = false;
    double a = 0, b = 0, latency = 0;
  };
  // Times found by playing a CTA with these (capped) loop counts.
  struct Played {
    std::array<std::int64_t, 2> counts{};
    double first = 0, second = 0;    // cycles of the first work item, and added by the second
    std::array<double, 2> period{};  // per iteration of each loop, of the slowest role
    std::vector<std::array<double, 2>> role_period;
  };
  struct Play;

  Step translate(const Op& op, const Role& role, const std::vector<Access>& accesses, std::size_t& access);
  [[nodiscard]] std::array<std::int64_t, 2> counts_to_play(const std::array<LoopRange, 2>& loops) const;
  const Played& played(const std::array<std::int64_t, 2>& counts);

  const SmView& sm_;
  std::vector<std::vector<Step>> roles_;
  std::vector<Pipe> pipes_;
  std::size_t items_;  // work items played: the second one shows what running ahead saves
  std::array<std::uint8_t, 256> barrier_parties_{};
  bool nested_ = false;                 // loop 1 inside loop 0
  std::array<bool, 2> used_{};          // the loops that some role has
  bool coupled_ = false;                // roles with different loops: they meet in the pipes, iteration by iteration
  std::int64_t span_ = 1;               // iterations over which the period is taken: one turn of the deepest pipe
  std::int64_t cap_ = 4;                // iterations played
  std::array<std::uint8_t, 2> open_{};  // loops open while translating
  std::size_t depth_ = 0;
  std::vector<Played> memory_;
};

}  // namespace lightcone::hardware
