// SPDX-License-Identifier: Apache-2.0
#include "scenarios/step/step_operators.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "hardware/machine/evaluate.h"
#include "hardware/spec/machine_graph.h"
#include "models/families/training_graph.h"

namespace lightcone::scenarios {
namespace {

StepKind kind_of(const std::string& phase) {
  if (phase == models::name(models::TrainingPhase::recompute)) return StepKind::recompute;
  if (phase == models::name(models::TrainingPhase::backward)) return StepKind::backward;
  if (phase == models::name(models::TrainingPhase::optimiser)) return StepKind::optimiser;
  return StepKind::forward;
}

// Gradients that only the optimiser reads.
bool is_weight_gradient(const models::Operator& op) {
  const auto* gemm = std::get_if<models::Gemm>(&op);
  return (gemm != nullptr && gemm->activation_transposed) || std::holds_alternative<models::ColumnSum>(op) ||
         std::holds_alternative<models::Backward<models::GroupedGemm>>(op);
}

bool gathers_again(const OperatorNode& node, const models::Communication& op) {
  constexpr std::string_view kSuffix = "_again";
  const std::string& name = node.name;
  return op.kind == models::CollectiveKind::all_gather && node.phase == models::name(models::TrainingPhase::backward) &&
         name.size() > kSuffix.size() && name.compare(name.size() - kSuffix.size(), kSuffix.size(), kSuffix) == 0;
}

// Share of the HBM bandwidth that `bytes` in `time` are.
double hbm_share(Bytes bytes, Seconds time, const hardware::GpuSpec& gpu) {
  return time.count() > 0 ? std::min(1.0, bytes.real() / (gpu.hbm.peak().count() * time.count())) : 0;
}

class Demands {
 public:
  Demands(const PassInput& input, const RunResult& result) : input_(input), result_(result) {
    if (input.fabric) {
      for (const hardware::LinkSpec& link : input.fabric->fabric().links) kinds_.push_back(link.name);
    }
    if (kinds_.size() > kMostLinkKinds) {
      throw ConfigError(fmt::format("the fabric has {} kinds of links; a training step keeps {} apart", kinds_.size(),
                                    kMostLinkKinds));
    }
    double sms = 0, count = 0;
    for (const KernelRow& row : result.kernels) {
      if (!row.messages || row.messages->sms <= 0) continue;
      sms += row.messages->sms;
      ++count;
    }
    const auto most = static_cast<double>(input.gpu.sm_count) / 2;
    taken_ = count > 0 ? static_cast<std::uint32_t>(std::lround(std::clamp(sms / count, 1.0, most))) : 0;
  }

  [[nodiscard]] Demand of_collective(const OperatorRow& row) const {
    Demand demand;
    const KernelRow& kernel = result_.kernels[row.kernels.front()];
    if (!kernel.messages) return demand;
    const MessageResult& messages = *kernel.messages;
    demand.hbm = hbm_share(messages.memory_read + messages.memory_written, row.time, input_.gpu);
    demand.sms = std::min(0.9, messages.sms / static_cast<double>(input_.gpu.sm_count));
    for (const LinkUse& use : messages.links) {
      const auto kind = std::find(kinds_.begin(), kinds_.end(), use.kind);
      if (kind != kinds_.end()) demand.links[static_cast<std::size_t>(kind - kinds_.begin())] = use.busiest;
    }
    return demand;
  }

  Demand of_kernels(const OperatorRow& row, const KernelSequence& sequence) {
    Demand demand;
    demand.hbm = hbm_share(row.hbm_bytes, row.time, input_.gpu);
    if (taken_ == 0) return demand;
    double with_all = 0, with_fewer = 0;
    for (std::size_t k = 0; k < sequence.kernels.size(); ++k) {
      const auto [all, fewer] = times(sequence.kernels[k], result_.kernels[row.kernels[k]].hash);
      with_all += all;
      with_fewer += fewer;
    }
    // time = 1 + e (1 / a - 1) with the share a of the SMs that is left.
    const auto sms = static_cast<double>(input_.gpu.sm_count);
    const double less = taken_ / (sms - taken_);
    if (with_all > 0) demand.sm_elasticity = std::max(0.0, (with_fewer / with_all - 1) / less);
    return demand;
  }

 private:
  // By the closed form, with all SMs and without those that a collective takes.
  std::pair<double, double> times(const hardware::TileProgram& program, const std::string& hash) {
    const auto found = times_.find(hash);
    if (found != times_.end()) return found->second;
    hardware::GpuSpec fewer = input_.gpu;
    fewer.sm_count -= taken_;
    const auto time = [&](const hardware::GpuSpec& gpu) {
      return hardware::evaluate_analytical(program, gpu, input_.evaluation.options).time.count();
    };
    return times_[hash] = {time(input_.gpu), time(fewer)};
  }

  const PassInput& input_;
  const RunResult& result_;
  std::vector<std::string> kinds_;
  std::uint32_t taken_ = 0;  // SMs
  std::map<std::string, std::pair<double, double>> times_;
};

}  // namespace

std::vector<StepOperator> step_operators(const PassInput& input, const std::vector<MappedOperator>& mapped,
                                         const RunResult& result) {
  Demands demands(input, result);
  std::vector<StepOperator> operators;
  for (std::size_t i = 0; i < mapped.size(); ++i) {
    const OperatorRow& row = result.operators[i];
    StepOperator op;
    op.name = row.name;
    op.kind = kind_of(row.phase);
    op.time = row.time;
    op.energy = row.energy;
    op.weight_gradient = is_weight_gradient(mapped[i].node.op);
    if (const auto* collective = std::get_if<models::Communication>(&mapped[i].node.op)) {
      op.collective = true;
      op.again = gathers_again(mapped[i].node, *collective);
      if (!row.kernels.empty()) op.demand = demands.of_collective(row);
    } else {
      op.demand = demands.of_kernels(row, mapped[i].sequence);
    }
    operators.push_back(std::move(op));
  }
  return operators;
}

}  // namespace lightcone::scenarios
