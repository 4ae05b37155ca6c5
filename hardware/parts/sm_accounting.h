// SPDX-License-Identifier: Apache-2.0
// Where the cycles of one SM went: every cycle gets exactly one reason (CycleReason), so that the reasons sum to the
// total. Busy units come first, in the order tensor, SFU, FP32, shared memory; what remains is a stall. A stall for
// data is booked when the data comes, since only then is it known whether it came from L2 or from HBM.
#pragma once

#include <array>
#include <cstddef>

#include "hardware/parts/line_request.h"
#include "sim/observe/kernel_result.h"

namespace lightcone::hardware {

class SmAccounting {
 public:
  // Books [last, now) up to `until` to `reason`; later calls of the same interval continue there.
  void take(double until, double now, CycleReason reason) {
    const double end = until < now ? until : now;
    if (end <= booked_) return;
    add(reason, end - booked_);
    booked_ = end;
  }
  // Books the rest of the interval as waiting for data whose source is not yet known.
  void wait_for_data(double now) {
    if (now > booked_) unknown_source_ += now - booked_;
    booked_ = now > booked_ ? now : booked_;
  }
  void data_came_from(DataSource source) {
    add(source == DataSource::hbm ? CycleReason::wait_hbm : CycleReason::wait_l2, unknown_source_);
    unknown_source_ = 0;
  }
  [[nodiscard]] std::array<double, kCycleReasonCount> reasons() const {
    auto out = reasons_;
    out[static_cast<std::size_t>(CycleReason::wait_hbm)] += unknown_source_;
    return out;
  }

 private:
  void add(CycleReason reason, double cycles) { reasons_[static_cast<std::size_t>(reason)] += cycles; }

  std::array<double, kCycleReasonCount> reasons_{};
  double booked_ = 0;
  double unknown_source_ = 0;
};

}  // namespace lightcone::hardware
