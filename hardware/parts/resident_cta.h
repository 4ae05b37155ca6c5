// SPDX-License-Identifier: Apache-2.0
// A CTA on an SM: its work items, the state of its pipes (full and empty barriers per stage) and of its roles.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <vector>

#include "hardware/parts/cta_scheduler.h"
#include "hardware/program/tile_program.h"

namespace lightcone::hardware {

// What a role waits for.
enum class Waiting : std::uint8_t {
  none,
  unit,        // an execution unit or a fixed latency: ends by itself
  full_stage,  // data of a pipe
  empty_stage,
  loads,
  stores,
  barrier,
  signal,
};

struct RoleState {
  std::uint32_t number = 0;  // in the CTA
  const Role* program = nullptr;
  std::vector<std::uint32_t> loop_end;  // for each LoopBegin, the index of its LoopEnd
  std::uint8_t partitions = 0xf;        // sub-partitions its warps live on, bit mask

  std::size_t item = 0;  // sequence number in the CTA's list
  bool finished = true;
  std::uint32_t pc = 0;
  VarValues values{};
  std::array<std::int64_t, 2> iterations_left{};
  std::array<std::int64_t, 2> iterations_done{};
  double settled = 0;  // when the pipeline of the loop was full
  double period = 0;   // cycles per iteration from then on; 0: not known
  std::array<std::uint32_t, 2> loop_start{};
  std::uint8_t loop_depth = 0;
  std::array<std::uint8_t, 2> loop_stack{};

  Waiting waiting = Waiting::none;
  std::size_t waiting_pipe = 0;
  bool wake_sent = false;

  std::vector<std::uint64_t> acquired, waited, released;  // per pipe, stages since the CTA began
  std::uint32_t loads_under_way = 0;
  std::uint32_t stores_to_send = 0;
  std::deque<double> mma_ends;  // of unfinished Mma, in order
  std::uint32_t barrier_generation = 0;
  bool at_barrier = false;
};

struct PipeState {
  std::vector<std::uint32_t> pending;   // per stage: loads under way, plus one until committed
  std::vector<std::uint64_t> fills;     // per stage: how often it has become full
  std::vector<std::uint64_t> releases;  // per stage: how often a consumer has released it
};

struct BarrierState {
  std::uint32_t participants = 0, arrived = 0, generation = 0;
};

struct ResidentCta {
  std::uint32_t slot = 0;
  const CtaClass* cta_class = nullptr;
  std::deque<WorkItem> items;             // under way; front is the oldest that some role still works on
  std::size_t first_item = 0;             // sequence number of the front
  std::vector<std::uint32_t> roles_left;  // per item in `items`: roles that have not finished it
  std::vector<double> period;             // per item: cycles per loop iteration of the role that finished last
  bool no_more = false;                   // the grid is exhausted
  bool starting = false;                  // dispatched, first instruction not yet reached
  std::vector<RoleState> roles;
  std::vector<PipeState> pipes;
  std::vector<BarrierState> barriers;
};

// Counters in global memory that order CTAs (semaphores), and the roles that wait for them.
struct GridCounters {
  struct Waiter {
    std::uint16_t sm;
    std::uint32_t slot, role, count;
  };
  struct Counter {
    std::uint32_t value = 0;
    double free = 0;  // when the address takes its next atomic
    std::vector<Waiter> waiters;
  };
  std::map<std::uint32_t, Counter> counters;
};

}  // namespace lightcone::hardware
