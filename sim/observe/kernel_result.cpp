// SPDX-License-Identifier: Apache-2.0
#include "sim/observe/kernel_result.h"

#include <algorithm>
#include <utility>

namespace lightcone {

CycleReason KernelResult::top_reason() const {
  const auto largest = std::max_element(reason_cycles.begin(), reason_cycles.end());
  return static_cast<CycleReason>(largest - reason_cycles.begin());
}

std::string KernelResult::bound_by() const {
  const std::array<std::pair<std::string_view, Seconds>, 7> candidates{{{"tensor", bounds.tensor},
                                                                        {"fp32", bounds.fp32},
                                                                        {"sfu", bounds.sfu},
                                                                        {"issue", bounds.issue},
                                                                        {"shared", bounds.shared},
                                                                        {"l2", bounds.l2},
                                                                        {"hbm", bounds.hbm}}};
  const auto largest = std::max_element(candidates.begin(), candidates.end(),
                                        [](const auto& a, const auto& b) { return a.second < b.second; });
  const double bound = largest->second.count();
  if (bound <= 0 || 2 * bound < time.count()) return "latency";
  return std::string(largest->first);
}

}  // namespace lightcone
