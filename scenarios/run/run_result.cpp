// SPDX-License-Identifier: Apache-2.0
#include "scenarios/run/run_result.h"

#include <algorithm>

namespace lightcone::scenarios {

double OperatorRow::tflops_per_second() const {
  return time.count() > 0 ? (matrix_flops + vector_flops).real() / time.count() * 1e-12 : 0;
}

double OperatorRow::gigabytes_per_second() const { return time.count() > 0 ? bytes.real() / time.count() * 1e-9 : 0; }

std::vector<std::pair<std::string, Seconds>> RunResult::phase_times() const {
  std::vector<std::pair<std::string, Seconds>> times;
  for (const OperatorRow& row : operators) {
    auto found = std::find_if(times.begin(), times.end(), [&](const auto& entry) { return entry.first == row.phase; });
    if (found == times.end()) found = times.insert(times.end(), {row.phase, Seconds()});
    found->second += Seconds(row.total_seconds());
  }
  return times;
}

Bytes RunResult::memory_used() const {
  Bytes sum;
  for (const MemoryOwner& owner : memory) sum += owner.bytes;
  return sum;
}

Seconds RunResult::exposed_communication() const {
  Seconds sum;
  for (const OperatorRow& row : operators) {
    const double seconds = row.reason_seconds[static_cast<std::size_t>(CycleReason::communication)];
    sum += Seconds(seconds * static_cast<double>(row.repeat));
  }
  return sum;
}

double RunResult::over_power_limit_share() const {
  double over = 0;
  for (const KernelRow& kernel : kernels) {
    if (!kernel.result.power_limit_held) over += kernel.result.time.count() * static_cast<double>(kernel.launches);
  }
  return latency.count() > 0 ? over / latency.count() : 0;
}

}  // namespace lightcone::scenarios
