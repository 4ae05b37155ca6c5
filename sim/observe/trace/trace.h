// SPDX-License-Identifier: Apache-2.0
// A timeline for the Perfetto viewer: named tracks with slices (something lasts from here to there) and counters (a
// value over time). Times are simulated, from the start of the run; Perfetto keeps whole nanoseconds.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sim/base/units.h"

namespace lightcone {

class Trace {
 public:
  using Track = std::uint64_t;
  using Annotations = std::vector<std::pair<std::string, std::string>>;  // shown when the slice is clicked

  Trace();
  ~Trace();
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;

  Track add_process(const std::string& name);
  Track add_track(Track parent, const std::string& name);
  Track add_counter(Track parent, const std::string& name, const std::string& unit);

  // Slices of one track must not overlap, except one wholly inside another that was added before it.
  void add_slice(Track track, const std::string& name, Seconds start, Seconds end, const Annotations& notes = {});
  void set_counter(Track track, Seconds at, double value);

  [[nodiscard]] std::string bytes() const;  // the file's content (.pftrace)

 private:
  struct Packets;
  std::unique_ptr<Packets> packets_;
};

}  // namespace lightcone
