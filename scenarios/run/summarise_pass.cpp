// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "scenarios/run/model_constants.h"
#include "scenarios/run/operator_format.h"
#include "scenarios/run/run_pass.h"
#include "workloads/plan_rules.h"

namespace lightcone::scenarios {
namespace {

constexpr std::string_view kTraining = "training", kForward = "forward";  // workloads::phase_name, models::name

std::vector<FormatPeak> peaks_of(const std::vector<MappedOperator>& mapped, const hardware::GpuSpec& gpu) {
  std::map<std::string, FlopsPerSecond> by_name;
  for (const MappedOperator& entry : mapped) {
    if (models::cost(entry.node.op).matrix_flops.count() == 0) continue;
    const MatrixPeak peak = matrix_peak(entry.sequence, gpu);
    by_name[std::string(lightcone::name(peak.format))] = peak.rate;
  }
  std::vector<FormatPeak> peaks;
  for (const auto& [format, rate] : by_name) peaks.push_back({format, rate});
  return peaks;
}

// The kernel's time split by what the SMs did in it. Time outside the kernel's body (the gap between kernels) is
// launch time.
std::array<double, kCycleReasonCount> reason_seconds(const KernelResult& kernel) {
  std::array<double, kCycleReasonCount> seconds{};
  const double total = std::accumulate(kernel.reason_cycles.begin(), kernel.reason_cycles.end(), 0.0);
  double body = kernel.time.count();
  if (kernel.cycles.count() > 0 && kernel.clock.count() > 0) {
    body = std::min(body, duration(kernel.cycles, kernel.clock).count());
  }
  if (total <= 0) body = 0;
  for (std::size_t r = 0; r < kCycleReasonCount && body > 0; ++r) seconds[r] = kernel.reason_cycles[r] / total * body;
  seconds[static_cast<std::size_t>(CycleReason::launch)] += kernel.time.count() - body;
  return seconds;
}

void add(ResourceBounds& sum, const ResourceBounds& other) {
  sum.tensor += other.tensor;
  sum.fp32 += other.fp32;
  sum.sfu += other.sfu;
  sum.issue += other.issue;
  sum.shared += other.shared;
  sum.l2 += other.l2;
  sum.hbm += other.hbm;
  sum.launch += other.launch;
}

// Rows of distinct kernels, found by hash.
class KernelRows {
 public:
  explicit KernelRows(std::vector<KernelRow>& rows) : rows_(rows) {}
  std::size_t add(const EvaluatedKernel& kernel, std::uint64_t launches) {
    const auto [entry, is_new] = index_.emplace(kernel.hash, rows_.size());
    if (is_new) rows_.push_back({kernel.hash, 0, kernel.result, kernel.messages});
    rows_[entry->second].launches += launches;
    return entry->second;
  }

 private:
  std::vector<KernelRow>& rows_;
  std::map<std::string, std::size_t> index_;
};

OperatorRow describe(const MappedOperator& mapped, const hardware::GpuSpec& gpu) {
  const OperatorNode& node = mapped.node;
  const models::Cost cost = models::cost(node.op);
  OperatorRow row;
  row.name = node.name;
  row.section = node.section;
  row.phase = node.phase;
  row.repeat = node.repeat;
  row.kind = models::kind_name(node.op);
  row.format = lightcone::name(operator_format(node.op));
  row.note = mapped.sequence.note;
  row.matrix_flops = cost.matrix_flops;
  row.vector_flops = cost.vector_flops;
  row.bytes = cost.bytes();
  if (cost.matrix_flops.count() > 0) {
    const MatrixPeak peak = matrix_peak(mapped.sequence, gpu);
    row.multiply_format = lightcone::name(peak.format);
    row.peak_seconds = cost.matrix_flops.real() / peak.rate.count();
  }
  return row;
}

void add_kernel(OperatorRow& row, KernelResult& sum, const KernelResult& kernel) {
  row.time += kernel.time;
  row.launch += kernel.launch;
  row.energy += kernel.energy.total();
  row.hbm_bytes += kernel.work.hbm_read + kernel.work.hbm_written;
  const auto seconds = reason_seconds(kernel);
  for (std::size_t r = 0; r < kCycleReasonCount; ++r) row.reason_seconds[r] += seconds[r];
  row.clock = Hertz(row.clock.count() + kernel.clock.count() * kernel.time.count());  // divided by the time at the end
  add(sum.bounds, kernel.bounds);
  sum.time += kernel.time;
}

std::vector<Bottleneck> find_bottlenecks(const RunResult& result) {
  std::map<std::pair<std::string, std::size_t>, Bottleneck> parts;
  for (const OperatorRow& row : result.operators) {
    for (std::size_t r = 0; r < kCycleReasonCount; ++r) {
      Bottleneck& part = parts[{row.name, r}];
      part.operator_name = row.name;
      part.kind = row.kind;
      part.reason = static_cast<CycleReason>(r);
      part.time += Seconds(row.reason_seconds[r] * static_cast<double>(row.repeat));
    }
  }
  std::vector<Bottleneck> sorted;
  for (auto& [key, part] : parts) {
    if (part.time.count() <= 0) continue;
    part.share = part.time / result.latency;
    sorted.push_back(part);
  }
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Bottleneck& a, const Bottleneck& b) { return a.time > b.time; });
  if (sorted.size() > 3) sorted.resize(3);
  return sorted;
}

Provenance provenance_of(const PassInput& input, const RunResult& result) {
  Provenance provenance;
  provenance.evaluator = input.evaluation.fidelity;
  provenance.simulator = simulator_version();
  double time = 0, simulated = 0;
  for (const KernelRow& kernel : result.kernels) {
    const double weight = kernel.result.time.count() * static_cast<double>(kernel.launches);
    time += weight;
    simulated += weight * kernel.result.simulated_fraction;
  }
  if (time > 0) provenance.simulated_fraction = simulated / time;
  for (const hardware::ParameterSource& source : input.gpu.sources) {
    if (source.source.rfind("calibrated", 0) == 0) provenance.calibrated.push_back(source.path);
    if (source.source.rfind("assumed", 0) == 0) provenance.assumed.push_back(source.path);
  }
  for (const ModelConstant& constant : model_constants()) {
    const bool calibrated = constant.source.rfind("calibrated", 0) == 0;
    (calibrated ? provenance.calibrated : provenance.assumed).push_back(shown(constant));
  }
  return provenance;
}

// Expected error of the pass: the classes' errors weighted by time. Errors of operators may cancel in the sum; this
// does not count on it.
void estimate_error(RunResult& result) {
  double validated = 0;
  ErrorEstimate sum;
  sum.held_out = true;  // only if every part is
  for (const OperatorRow& row : result.operators) {
    if (!row.expected_error) continue;
    validated += row.total_seconds();
    sum.points += row.expected_error->points;
    sum.held_out = sum.held_out && row.expected_error->held_out;
    sum.median_absolute_percent += row.expected_error->median_absolute_percent * row.total_seconds();
    sum.mean_absolute_percent += row.expected_error->mean_absolute_percent * row.total_seconds();
  }
  if (validated <= 0) return;
  result.validated_share = validated / result.latency.count();
  sum.median_absolute_percent /= validated;
  sum.mean_absolute_percent /= validated;
  result.expected_error = sum;
}

void add_totals(RunResult& result, const hardware::GpuSpec& gpu) {
  double peak_seconds = 0, forward_peak_seconds = 0, hbm_bytes = 0, clock_seconds = 0;
  const bool training = result.phase == kTraining;
  for (const OperatorRow& row : result.operators) {
    const auto repeat = static_cast<double>(row.repeat);
    result.latency += Seconds(row.total_seconds());
    result.energy += row.energy * repeat;
    peak_seconds += row.peak_seconds * repeat;
    if (row.phase == kForward) forward_peak_seconds += row.peak_seconds * repeat;
    hbm_bytes += row.hbm_bytes.real() * repeat;
    clock_seconds += row.clock.count() * row.total_seconds();
  }
  result.energy = result.energy * static_cast<double>(result.gpus);
  const double latency = result.latency.count();
  if (latency <= 0) return;
  result.tokens_per_second = static_cast<double>(result.tokens) / latency;
  result.hardware_flops_utilisation = peak_seconds / latency;
  // Every product of the forward pass has the gradients of two operands.
  result.model_flops_utilisation = (training ? 3 * forward_peak_seconds : peak_seconds) / latency;
  result.hbm_utilisation = hbm_bytes / (gpu.hbm.peak().count() * latency);
  result.joules_per_token = result.tokens > 0 ? result.energy.count() / static_cast<double>(result.tokens) : 0;
  result.mean_power = Watts(result.energy.count() / latency);
  result.mean_clock = Hertz(clock_seconds / latency);
}

}  // namespace

RunResult summarise_pass(const PassInput& input, const std::vector<MappedOperator>& mapped,
                         const std::vector<EvaluatedKernel>& kernels, const ValidationTable& validation) {
  RunResult result;
  result.scenario = input.scenario;
  result.model = input.model;
  result.machine = input.machine;
  result.gpu = input.gpu.name;
  result.phase = input.phase;
  result.batch = input.batch;
  result.gpus = input.plan.gpus();
  result.plan = workloads::words(input.plan);
  result.tokens = input.tokens;
  KernelRows rows(result.kernels);
  std::string failures;
  std::size_t next = 0;
  for (const MappedOperator& entry : mapped) {
    OperatorRow row = describe(entry, input.gpu);
    if (row.phase.empty()) row.phase = input.phase;
    KernelResult sum;
    std::string collective_bound;
    for (std::size_t k = 0; k < entry.steps(); ++k) {
      LIGHTCONE_ASSERT(next < kernels.size());
      const EvaluatedKernel& kernel = kernels[next++];
      if (!kernel.error.empty()) {
        failures += fmt::format("\n  {} ({}), kernel {}: {}", row.name, row.section,
                                entry.messages ? entry.messages->name : entry.sequence.kernels[k].name, kernel.error);
        continue;
      }
      if (kernel.messages) {
        collective_bound = kernel.messages->bound_by;
        row.energy += energy(entry.computing, kernel.messages->longest_compute);
      }
      row.kernels.push_back(rows.add(kernel, entry.node.repeat));
      add_kernel(row, sum, kernel.result);
    }
    if (row.time.count() > 0) row.clock = Hertz(row.clock.count() / row.time.count());
    row.bound_by = entry.messages ? collective_bound : sum.bound_by();
    row.expected_error =
        validation.find(result.gpu, input.evaluation.fidelity, validation_class(entry.node.op), row.time);
    result.operators.push_back(std::move(row));
  }
  if (!failures.empty()) throw RunError("kernels without a result:" + failures);
  result.boost_clock = input.gpu.clock.boost;
  result.hbm_peak = input.gpu.hbm.peak();
  result.peaks = peaks_of(mapped, input.gpu);
  result.memory = input.memory;
  std::stable_sort(result.memory.begin(), result.memory.end(),
                   [](const MemoryOwner& a, const MemoryOwner& b) { return a.bytes > b.bytes; });
  result.memory_capacity = input.gpu.hbm.capacity;
  add_totals(result, input.gpu);
  result.bottlenecks = find_bottlenecks(result);
  estimate_error(result);
  result.provenance = provenance_of(input, result);
  return result;
}

}  // namespace lightcone::scenarios
