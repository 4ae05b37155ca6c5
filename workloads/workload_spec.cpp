// SPDX-License-Identifier: Apache-2.0
#include "workloads/workload_spec.h"

namespace lightcone::workloads {

namespace {

struct PhaseName {
  std::string_view operator()(const Prefill&) const { return "prefill"; }
  std::string_view operator()(const Decode&) const { return "decode"; }
  std::string_view operator()(const Training&) const { return "training"; }
};

struct NewTokens {
  std::uint64_t operator()(const Prefill& phase) const { return phase.prompt_tokens; }
  std::uint64_t operator()(const Decode&) const { return 1; }
  std::uint64_t operator()(const Training& phase) const { return phase.sequence_tokens; }
};

}  // namespace

std::string_view phase_name(const WorkloadSpec& workload) { return std::visit(PhaseName{}, workload.phase); }

std::uint64_t batch(const WorkloadSpec& workload) {
  return std::visit([](const auto& phase) { return phase.batch; }, workload.phase);
}

std::uint64_t new_tokens(const WorkloadSpec& workload) { return std::visit(NewTokens{}, workload.phase); }

std::uint64_t attended_tokens(const WorkloadSpec& workload) {
  const Decode* decode = std::get_if<Decode>(&workload.phase);
  return decode == nullptr ? new_tokens(workload) : decode->context_tokens;
}

std::uint64_t micro_batches(const WorkloadSpec& workload) {
  const Training* training = std::get_if<Training>(&workload.phase);
  return training == nullptr ? 1 : training->micro_batches;
}

}  // namespace lightcone::workloads
