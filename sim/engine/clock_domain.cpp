// SPDX-License-Identifier: Apache-2.0
#include "sim/engine/clock_domain.h"

#include "sim/base/error.h"

namespace lightcone::engine {

namespace {
Picoseconds now() { return Picoseconds(sc_core::sc_time_stamp().value()); }
}  // namespace

ClockDomain::ClockDomain(sc_core::sc_module_name name, Hertz frequency, DomainModel& model)
    : sc_core::sc_module(name), frequency_(frequency), model_(model) {
  LIGHTCONE_ASSERT(frequency.count() > 0);
  SC_HAS_PROCESS(ClockDomain);
  SC_METHOD(run);
  sensitive << wake_;
  dont_initialize();
}

Picoseconds ClockDomain::time_of(Cycle cycle) const { return to_picoseconds(duration(Cycles(cycle), frequency_)); }

Cycle ClockDomain::cycle_at(Picoseconds time) const {
  auto cycle = static_cast<Cycle>(static_cast<std::int64_t>(time.real() * 1e-12 * frequency_.count()));
  while (time_of(cycle) < time) ++cycle;
  return cycle;
}

void ClockDomain::wake_at(Cycle cycle) {
  if (last_ != kNever && cycle <= last_) cycle = last_ + 1;
  if (pending_ != kNever && pending_ <= cycle) return;
  pending_ = cycle;
  if (!ticking_) schedule(cycle);
}

void ClockDomain::schedule(Cycle cycle) {
  // An earlier notification replaces a later one; SystemC ignores a later one. Never a zero-time notification: a
  // cycle that falls on this very picosecond (start of time, or another domain's edge) is played one picosecond on.
  const Picoseconds at = time_of(cycle);
  const Picoseconds delay = at > now() ? at - now() : Picoseconds(1);
  wake_.notify(sc_core::sc_time::from_value(delay.count()));
}

void ClockDomain::run() {
  const Cycle cycle = pending_;
  LIGHTCONE_ASSERT(cycle != kNever);
  pending_ = kNever;
  last_ = cycle;
  ticking_ = true;
  const Cycle next = model_.tick(cycle).cycle();
  ticking_ = false;
  if (next != kNever) {
    LIGHTCONE_ASSERT(next > cycle);
    if (next < pending_) pending_ = next;
  }
  if (pending_ != kNever) schedule(pending_);
}

Picoseconds run_until_idle() {
  sc_core::sc_start();
  return now();
}

void stop() {
  // Stopping is how a run ends here, nothing to tell the user about.
  sc_core::sc_report_handler::set_actions("/OSCI/SystemC", sc_core::SC_INFO, sc_core::SC_DO_NOTHING);
  sc_core::sc_stop();
}

}  // namespace lightcone::engine
