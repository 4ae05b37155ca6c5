// SPDX-License-Identifier: Apache-2.0
// A streaming multiprocessor: resident CTAs whose roles play their programs on its sub-partitions (issue slot, tensor
// core, FP32, INT and SFU lanes), shared memory with its barriers, the copy engine (TMA or cp.async), the load/store
// unit with an L1, and one port into the crossbar.
//
// Units are servers of their rate (server.h): macro-operations of all roles queue for them in the order in which they
// are issued. Not modelled: register bank conflicts, the warp scheduler's choice between ready warps, shared-memory
// bank conflicts (the mapping's layouts are taken to be conflict-free), instruction fetch.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "hardware/parts/crossbar.h"
#include "hardware/parts/cta_scheduler.h"
#include "hardware/parts/l2_cache.h"
#include "hardware/parts/line_request.h"
#include "hardware/parts/resident_cta.h"
#include "hardware/parts/server.h"
#include "hardware/parts/sm_accounting.h"
#include "hardware/parts/tag_store.h"
#include "hardware/program/tile_program.h"
#include "hardware/spec/gpu_spec.h"

namespace lightcone::hardware {

// What an SM shares with the rest of the GPU.
struct SmSurroundings {
  const GpuSpec& gpu;
  const TileProgram& program;
  const std::vector<std::uint64_t>& tensor_base;  // byte address of each tensor
  CoreWheel& wheel;
  Crossbar& crossbar;
  L2Cache& l2;
  CtaScheduler& scheduler;
  GridCounters& counters;
  Server& dispatch;                 // the CTA scheduler's rate
  std::uint64_t& stores_under_way;  // over the whole GPU; the kernel ends when it is 0
};

struct SmWork {
  std::array<double, kNumberFormats.size()> mma_flops{};  // executed, by operand format
  double mma_useful = 0;
  double vector_flops = 0, fp32_ops = 0, sfu_ops = 0;
  double shared_bytes = 0;
  double loaded_bytes = 0, stored_bytes = 0;
};

class StreamingMultiprocessor {
 public:
  StreamingMultiprocessor(std::uint16_t index, std::uint32_t resident, SmSurroundings surroundings);

  // Takes the next work item, if there is one, into the free slot; its first instruction comes after the dispatch.
  void launch(engine::Cycle now, std::uint32_t slot);

  // Deliveries of the wheel.
  void on_data(engine::Cycle now, const LineRequest& r);
  void on_transfer_done(engine::Cycle now, std::uint32_t transfer);
  void on_copy_start(engine::Cycle now, std::uint32_t transfer);
  void on_role_wake(engine::Cycle now, std::uint32_t slot, std::uint32_t role);
  void on_cta_start(engine::Cycle now, std::uint32_t slot);

  // Wakes a role that waits for a grid counter.
  void wake(engine::Cycle now, std::uint32_t slot, std::uint32_t role, double at);

  void close_accounts(engine::Cycle now) { account(now); }
  [[nodiscard]] bool idle() const { return resident_now_ == 0; }
  [[nodiscard]] const SmWork& work() const { return work_; }
  [[nodiscard]] const SmAccounting& accounting() const { return accounting_; }
  struct BusyCycles {
    double tensor, fp32, sfu, shared;
  };
  [[nodiscard]] BusyCycles busy() const;

 private:
  enum class Step : std::uint8_t { next, sleep, blocked };
  // A box on its way, line by line.
  struct Transfer {
    std::uint32_t slot = 0, role = 0;
    std::int16_t pipe = -1;  // of a LoadTile
    std::uint16_t stage = 0;
    bool store = false;
    bool through_l1 = false;
    std::uint8_t copies = 1;
    std::uint16_t segment_bytes = 0;                                // of a GlobalStore
    std::uint64_t address = 0, pitch = 0, row_bytes = 0, rows = 0;  // what is left: from `row`, `column`
    std::uint64_t row = 0, column = 0;
    std::uint32_t lines_out = 0;  // sent, not answered
    double done = 0;              // latest arrival
    DataSource source = DataSource::l1;
    [[nodiscard]] bool all_sent() const { return row == rows; }
  };
  struct Queue {  // of transfers that share a limit of lines in flight
    std::deque<std::uint32_t> transfers;
    std::uint32_t in_flight = 0, limit = 0;
  };

  void run(engine::Cycle now, std::uint32_t slot, std::uint32_t role);
  Step execute(engine::Cycle now, ResidentCta& cta, RoleState& role, const LoopBegin& op);
  Step execute(engine::Cycle now, ResidentCta& cta, RoleState& role, const LoopEnd& op);
  Step execute(engine::Cycle now, ResidentCta& cta, RoleState& role, const AcquireStage& op);
  Step execute(engine::Cycle now, ResidentCta& cta, RoleState& role, const CommitStage& op);
  Step execute(engine::Cycle now, ResidentCta& cta, RoleState& role, const WaitStage& op);
  Step execute(engine::Cycle now, ResidentCta& cta, RoleState& role, const ReleaseStage& op);
  Step execute(engine::Cycle now, ResidentCta& cta, RoleState& role, const LoadTile& op);
  Step execute(engine::Cycle now, ResidentCta& cta, RoleState& role, const GlobalLoad& op);
  Step execute(engine::Cycle now, ResidentCta& cta, RoleState& role, const WaitLoads& op);
  Step execute(engine::Cycle now, ResidentCta& cta, RoleState& role, const GlobalStore& op);
  Step execute(engine::Cycle now, ResidentCta& cta, RoleState& role, const WaitStores& op);
  Step execute(engine::Cycle now, ResidentCta& cta, RoleState& role, const Mma& op);
  Step execute(engine::Cycle now, ResidentCta& cta, RoleState& role, const MmaWait& op);
  Step execute(engine::Cycle now, ResidentCta& cta, RoleState& role, const VectorWork& op);
  Step execute(engine::Cycle now, ResidentCta& cta, RoleState& role, const SharedAccess& op);
  Step execute(engine::Cycle now, ResidentCta& cta, RoleState& role, const CtaBarrier& op);
  Step execute(engine::Cycle now, ResidentCta& cta, RoleState& role, const Signal& op);
  Step execute(engine::Cycle now, ResidentCta& cta, RoleState& role, const AwaitSignal& op);
  Step execute(engine::Cycle now, ResidentCta& cta, RoleState& role, const Delay& op);

  Step sleep_until(engine::Cycle now, ResidentCta& cta, RoleState& role, double time, Waiting why);
  Step block(RoleState& role, Waiting why);
  void stage_filled(engine::Cycle now, ResidentCta& cta, std::size_t pipe, std::size_t stage);
  void wake_waiting(engine::Cycle now, ResidentCta& cta, Waiting why, std::size_t pipe);
  void begin_item(engine::Cycle now, ResidentCta& cta, RoleState& role);
  void role_finished(engine::Cycle now, ResidentCta& cta, RoleState& role);
  [[nodiscard]] std::int64_t iterations_to_skip(const ResidentCta& cta, const RoleState& role) const;
  [[nodiscard]] std::uint32_t global_slot(std::uint32_t slot) const {
    return index_ * static_cast<std::uint32_t>(slots_.size()) + slot;
  }

  // Starts a box transfer; returns false when the box is clipped to nothing.
  bool start_transfer(engine::Cycle now, ResidentCta& cta, RoleState& role, const Box& box, CopyPath path, bool store,
                      std::int16_t pipe, std::uint8_t copies, std::uint16_t segment_bytes = 0);
  void send_lines(engine::Cycle now, Queue& queue);
  void send_line(engine::Cycle now, Queue& queue, Transfer& transfer, std::uint32_t index);
  Queue& queue_of(const Transfer& transfer);
  using Partitions = std::array<Server, kMostSubPartitions>;  // those beyond sub_partitions have no work
  double serve(Partitions& servers, std::uint8_t on, double now, double cycles_of_whole_sm);
  void hold(Partitions& servers, std::uint8_t on, double now, double cycles_of_whole_sm);
  void account(engine::Cycle now);

  const std::uint16_t index_;
  const std::uint32_t partition_;
  SmSurroundings gpu_;
  const SmSpec& spec_;
  std::vector<std::unique_ptr<ResidentCta>> slots_;
  std::uint32_t resident_now_ = 0;
  Pool<Transfer> transfers_;
  Queue bulk_, loads_, stores_;
  TagStore l1_;
  Partitions tensor_, fp32_, int_, sfu_, issue_;
  Server shared_, request_port_, read_port_, write_port_;
  Server l1_data_;              // the L1's data path, taken by every byte that a plain load brings to the registers
  double l1_limits_until_ = 0;  // when the last transfer is through that it, and nothing else, held back
  SmWork work_;
  SmAccounting accounting_;
};

}  // namespace lightcone::hardware
