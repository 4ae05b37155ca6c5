// SPDX-License-Identifier: Apache-2.0
// One HBM pseudo-channel with its memory controller: open-page FR-FCFS over a command queue, banks and buses held to
// the JEDEC timing table (dram_timing.h), a write buffer drained in batches, all-bank or per-bank refresh. A request
// lies in one row and is decided as a whole; the cycles of its bursts follow (burst_slots.h). Sources: JESD235D,
// JESD238; FR-FCFS (Rixner et al., ISCA 2000); batched write draining as in USIMM and Ramulator 2. Not modelled: ECC,
// forwarding from the write buffer to reads, temperature-dependent refresh, power-down.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "hardware/parts/burst_slots.h"
#include "hardware/parts/dram_timing.h"
#include "hardware/parts/hbm_address.h"
#include "hardware/parts/hbm_queue.h"
#include "hardware/spec/gpu_spec.h"

namespace lightcone::hardware {

struct HbmRequest {
  std::uint64_t local_address;  // bytes, within this pseudo-channel, a multiple of `bytes`
  std::uint32_t bytes;          // up to 128, within one line of 128 bytes
  bool write;
  std::uint64_t tag;  // returned with the completion
};

struct HbmCompletion {
  std::uint64_t tag;
  std::uint64_t cycle;  // CK. Read: the last data is on the pins. Write: the write buffer has taken it.
};

// Counts since construction; values that subtract, so that a warm-up drops out.
struct HbmStats {
  std::uint64_t reads = 0;            // requests served
  std::uint64_t writes = 0;           // requests served (data written, not only buffered)
  std::uint64_t bytes_read = 0;       // over the pins
  std::uint64_t bytes_written = 0;    // over the pins
  std::uint64_t row_hits = 0;         // bursts that found their row open
  std::uint64_t row_misses = 0;       // activations of a closed bank
  std::uint64_t row_conflicts = 0;    // activations that had to close another row first
  std::uint64_t activates = 0;        // row_misses + row_conflicts
  std::uint64_t refreshes = 0;        // all-bank or per-bank commands
  std::uint64_t data_bus_cycles = 0;  // CK with data on the pins
  std::uint64_t turnarounds = 0;      // changes of direction, read to write or back
  friend HbmStats operator-(const HbmStats& a, const HbmStats& b);
  friend HbmStats operator+(const HbmStats& a, const HbmStats& b);
  bool operator==(const HbmStats&) const = default;
};

struct IssuedCommand {
  DramCommand command;
  std::uint32_t bank;  // bank_group * banks_per_group + bank; 0 for commands to the whole channel
  std::uint32_t row;
  std::uint64_t cycle;
};

class HbmChannel {
 public:
  // Commands are decided this far ahead of the cycle ticked (CK), as a controller's pipeline does; their issue cycles
  // stay exact. It saves ticks: a request that arrives meanwhile competes for the later slots only.
  static constexpr std::uint64_t kDecideAhead = 16;
  // All-bank refreshes that a busy channel lets accumulate and then issues back to back; JEDEC allows up to 8.
  static constexpr std::uint64_t kRefreshBatch = 2;
  // Row hits overtake an older request for another row of their bank until they are younger by this many queue depths.
  static constexpr std::uint64_t kOvertakeDepths = 8;

  // Writes that the buffer holds; it stands for the dirty lines that the L2 cache can hold back.
  static constexpr std::uint64_t kWriteLines = 128;

  // `refresh_phase` shifts the refreshes of this channel against its neighbours' (CK, below nREFI).
  explicit HbmChannel(const HbmSpec& spec, std::uint64_t refresh_phase = 0);

  // Room for `queue_depth` reads, and in the write buffer for kWriteLines writes.
  [[nodiscard]] bool can_accept() const { return waiting_[0] < depth_ && waiting_[1] < kWriteLines; }
  // Takes the request; `now` must not go back. The channel wants a tick at `now` or as soon as it may be.
  void accept(const HbmRequest& request, std::uint64_t now);

  // Decides every command due up to now + kDecideAhead, appends completions (whose cycle may lie ahead of `now`) and
  // returns the next cycle with work: kNever when the queue is empty; refreshes of an idle channel are caught up later.
  std::uint64_t tick(std::uint64_t now, std::vector<HbmCompletion>& done);

  [[nodiscard]] const HbmStats& stats() const { return stats_; }
  // Called for every command, one per burst, in order of decision (the bursts of two requests may interleave); for
  // tests and traces.
  void listen(std::function<void(const IssuedCommand&)> listener) { listener_ = std::move(listener); }

 private:
  // The command to give next among those of one kind: the soonest, the one for the oldest request among equals. It is
  // kept between decisions and searched anew (`stale`) only when the event just passed can have changed it.
  struct Choice {
    std::uint64_t cycle = kNever;
    std::uint32_t order = 0;
    std::uint8_t bank = DramTiming::kMaxBanks;
    DramCommand command = DramCommand::read;
    bool stale = true;

    void consider(std::uint64_t new_cycle, std::uint32_t new_order, std::uint32_t new_bank, DramCommand new_command) {
      if (new_cycle > cycle || (new_cycle == cycle && !older(new_order, order))) return;
      *this = {new_cycle, new_order, static_cast<std::uint8_t>(new_bank), new_command, false};
    }
  };

  void advance(std::uint64_t now);
  void choose_direction();
  void refresh_choices();
  void all_stale() { column_.stale = activate_.stale = precharge_.stale = true; }
  void search_columns();
  void search_rows(Choice& choice, DramCommand command, std::uint64_t side);
  template <class OrderOf>
  [[nodiscard]] Choice soonest_of(std::uint64_t banks, DramCommand command, std::uint64_t soonest,
                                  OrderOf order_of) const;
  void consider_column(std::uint32_t bank);
  void consider_row(std::uint32_t bank);
  [[nodiscard]] std::uint64_t banks_for_columns() const;
  [[nodiscard]] std::uint64_t banks_for_rows() const;
  [[nodiscard]] std::uint64_t banks_for_own_rows() const;
  [[nodiscard]] std::uint64_t banks_read_ahead() const;
  [[nodiscard]] const WaitingRequest& wants_row(std::uint32_t bank) const;
  void issue_column(std::vector<HbmCompletion>& done);
  void finish(std::uint16_t slot, std::uint64_t last_burst, std::vector<HbmCompletion>& done);
  void issue_precharge();
  void issue_activate();
  void delay_row_choices();
  void issue(DramCommand command, std::uint32_t bank, std::uint32_t row, std::uint64_t cycle);
  void refresh_all_banks(std::uint64_t count);
  void start_bank_refresh();
  void finish_bank_refresh();
  void catch_up_idle(std::uint64_t now);
  [[nodiscard]] std::uint64_t refresh_cycle() const;
  [[nodiscard]] DramCommand column_command() const {
    return direction_ == Direction::read ? DramCommand::read : DramCommand::write;
  }
  [[nodiscard]] bool idle() const { return waiting_[0] + waiting_[1] == 0; }
  [[nodiscard]] std::uint64_t waiting(Direction d) const { return waiting_[static_cast<std::size_t>(d)]; }

  // Parameters.
  const HbmTiming timing_values_;
  const HbmBankMap map_;
  const std::uint32_t banks_;
  const std::uint32_t banks_per_group_;
  const std::uint32_t burst_bits_;  // of a byte in a burst
  const std::uint64_t depth_;
  const std::uint64_t high_watermark_, low_watermark_;  // buffered writes that start and end a drain
  const bool per_bank_refresh_;

  // State.
  DramTiming timing_;
  BurstSlots bus_;
  HbmQueue queue_;
  std::vector<std::uint64_t> tags_;    // by the request's slot
  std::uint64_t waiting_[2] = {0, 0};  // requests by direction
  std::vector<HbmCompletion> buffered_writes_;
  std::uint64_t clock_ = 0;  // no command is decided before this cycle any more
  Direction direction_ = Direction::read;
  std::uint64_t drained_ = 0;         // writes served since the drain began
  std::uint64_t starved_banks_ = 0;   // banks whose row hits wait because of kOvertakeDepths
  std::uint64_t conflict_banks_ = 0;  // banks closed to make room for another row
  std::uint64_t fresh_banks_ = 0;     // opened, not yet read or written
  std::uint64_t refresh_due_;
  std::uint64_t refresh_round_ = 0;       // banks refreshed in this round of per-bank refreshes
  std::uint64_t refreshing_ = 0;          // the bank (one bit) that waits for its refresh
  Choice column_, activate_, precharge_;  // activate_ also holds the refresh of one bank
  HbmStats stats_;
  std::function<void(const IssuedCommand&)> listener_;
};

}  // namespace lightcone::hardware
