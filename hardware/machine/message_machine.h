// SPDX-License-Identifier: Apache-2.0
// The live fabric playing a message program: workers run their steps, messages go from link to link. What happens next
// lies in a heap by time (picoseconds) and, at the same time, by the number of the worker on its rank, so that equal
// ranks stay equal. A tick plays all that happens up to its cycle; times are exact whatever the cycle.
// A step takes one event, and a message one more at each link where it may have to wait for messages from elsewhere.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hardware/machine/flat_message_program.h"
#include "hardware/machine/message_layout.h"
#include "hardware/machine/time_queues.h"
#include "sim/engine/clock_domain.h"
#include "sim/engine/event_heap.h"

namespace lightcone::hardware {

class MessageMachine : public engine::DomainModel {
 public:
  MessageMachine(const MessageProgram& program, const FabricSpec& fabric, MessageLayout layout);

  engine::Wake tick(engine::Cycle now) override;

  static constexpr std::uint64_t kCyclePs = 1000;
  [[nodiscard]] bool finished() const { return unfinished_ == 0; }
  [[nodiscard]] std::string outstanding() const;  // whom the unfinished workers wait for, in words
  [[nodiscard]] std::uint64_t end_ps() const { return end_ps_; }
  [[nodiscard]] const MessageLayout& layout() const { return layout_; }
  [[nodiscard]] std::uint64_t worker_busy_ps(std::size_t worker) const { return state_[worker].busy_ps; }

 private:
  enum class Waits : std::uint8_t { nothing, event, message, credit, group, finished };

  struct WorkerState {
    FlatMessageProgram::Cursor at;
    std::uint64_t free_ps = 0;
    std::uint64_t busy_ps = 0;
    Waits waits = Waits::nothing;
  };
  struct ChannelState {
    TimeQueues::Queue arrived;   // when the last byte of each message that is not yet taken is there
    TimeQueues::Queue returned;  // when credits are back
    std::uint32_t credits = 0;
  };
  enum class Stage : std::uint8_t { hop, multicast, gather, reduced };
  struct Flight {
    std::uint64_t tail_ps = 0;
    std::uint32_t channel = 0;  // of a hop; else the live worker
    std::uint32_t first_wire = 0;
    std::uint16_t hop = 0;
    Stage stage = Stage::hop;
  };
  void run(std::uint32_t worker, std::uint64_t now);
  bool ready(std::uint32_t worker, const FlatStep& step, std::uint64_t& at);
  bool credit_ready(std::uint32_t worker, std::uint32_t channel, std::uint64_t& at);
  void execute(std::uint32_t worker, const FlatStep& step, std::uint64_t now);
  void finish_step(std::uint32_t worker, const FlatStep& step, std::uint64_t free_ps);
  std::uint64_t send(std::uint32_t channel, const FlatStep& step, std::uint64_t head_ps, std::uint64_t tail_ps);
  void travel(std::uint32_t channel, std::uint16_t hop, std::uint32_t first_wire, std::uint64_t head_ps,
              std::uint64_t tail_ps);
  void deliver(std::uint32_t channel, std::uint64_t time_ps);
  void give_credit(std::uint32_t channel, std::uint64_t time_ps);
  void fly(std::uint32_t flight, std::uint64_t now);
  void multicast(std::uint32_t worker, std::uint32_t first_wire, std::uint64_t head_ps, std::uint64_t tail_ps);
  void gather(std::uint32_t worker, std::uint32_t first_wire, std::uint64_t now);
  void return_sum(std::uint32_t worker, std::uint32_t first_wire, std::uint64_t head_ps, std::uint64_t tail_ps);
  std::uint64_t through(LiveLink& link, std::uint32_t first_wire, std::uint64_t& head_ps, std::uint64_t& tail_ps,
                        double times = 1);

  void at(std::uint64_t time_ps, std::uint32_t worker);
  void start_flight(std::uint64_t head_ps, const Flight& flight, std::uint32_t local);

  const MessageProgram& program_;
  MessageLayout layout_;
  FlatMessageProgram flat_;
  std::vector<WorkerState> state_;
  std::vector<ChannelState> channels_;
  TimeQueues times_;
  std::vector<Flight> flights_;
  std::vector<std::uint32_t> free_flights_;
  engine::EventHeap events_;
  std::size_t unfinished_ = 0;
  std::uint64_t end_ps_ = 0;
};

}  // namespace lightcone::hardware
