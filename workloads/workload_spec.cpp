// SPDX-License-Identifier: Apache-2.0
#include "workloads/workload_spec.h"

namespace lightcone::workloads {

std::string_view phase_name(const WorkloadSpec& workload) {
  return std::holds_alternative<Prefill>(workload.phase) ? "prefill" : "decode";
}

std::uint64_t batch(const WorkloadSpec& workload) {
  return std::visit([](const auto& phase) { return phase.batch; }, workload.phase);
}

std::uint64_t new_tokens(const WorkloadSpec& workload) {
  const Prefill* prefill = std::get_if<Prefill>(&workload.phase);
  return prefill == nullptr ? 1 : prefill->prompt_tokens;
}

std::uint64_t attended_tokens(const WorkloadSpec& workload) {
  const Decode* decode = std::get_if<Decode>(&workload.phase);
  return decode == nullptr ? new_tokens(workload) : decode->context_tokens;
}

}  // namespace lightcone::workloads
