// SPDX-License-Identifier: Apache-2.0
// A clock domain is the one kind of SystemC module: one SC_METHOD that calls a plain C++ model at the cycles the model
// asked for, and sleeps in between. Cycle n happens at n/f seconds: the count is multiplied, a rounded period is never
// summed, so two domains of odd frequencies do not drift.
#pragma once

#include <systemc>

#include "sim/base/units.h"
#include "sim/engine/cycle.h"

namespace lightcone::engine {

// What runs in a domain: parts, their links and their messages, all in cycles of that domain.
class DomainModel {
 public:
  virtual ~DomainModel() = default;
  // Plays cycle `now` and says which cycle comes next. Calls come in increasing order of `now`.
  virtual Wake tick(Cycle now) = 0;
};

class ClockDomain : public sc_core::sc_module {
 public:
  ClockDomain(sc_core::sc_module_name name, Hertz frequency, DomainModel& model);

  // Asks for a tick at `cycle` or the first one after now, whichever is later (a message from another domain).
  void wake_at(Cycle cycle);

  // First cycle of this domain that is not before `time`.
  [[nodiscard]] Cycle cycle_at(Picoseconds time) const;
  [[nodiscard]] Picoseconds time_of(Cycle cycle) const;
  [[nodiscard]] Hertz frequency() const { return frequency_; }

 private:
  void run();
  void schedule(Cycle cycle);

  Hertz frequency_;
  DomainModel& model_;
  sc_core::sc_event wake_;
  Cycle last_ = kNever;     // cycle of the latest tick
  Cycle pending_ = kNever;  // cycle that wake_ is notified for
  bool ticking_ = false;
};

// Runs the SystemC kernel until no domain has anything left to do. Once per process.
Picoseconds run_until_idle();
// Makes run_until_idle return after the current instant (sampling has seen enough).
void stop();

}  // namespace lightcone::engine
