// SPDX-License-Identifier: Apache-2.0
#include "scenarios/run/explain.h"

#include <algorithm>
#include <map>
#include <utility>

#include "sim/base/error.h"

namespace lightcone::scenarios {
namespace {

constexpr double kNegligible = 0.0005;

// Seconds saved per execution of each distinct kernel, one entry per resource change.
using KernelSavings = std::vector<std::vector<double>>;

// The programs behind the distinct kernels of the result, by kernel row; null for collectives.
std::vector<const hardware::TileProgram*> programs_of(const std::vector<MappedOperator>& mapped,
                                                      const RunResult& result) {
  std::vector<const hardware::TileProgram*> programs(result.kernels.size(), nullptr);
  bool matches = mapped.size() == result.operators.size();
  for (std::size_t row = 0; matches && row < mapped.size(); ++row) {
    const auto& kernels = mapped[row].sequence.kernels;
    const auto& rows = result.operators[row].kernels;
    matches = mapped[row].steps() == rows.size();
    if (matches && mapped[row].messages) {
      matches = content_hash(*mapped[row].messages) == result.kernels[rows[0]].hash;
      continue;
    }
    for (std::size_t k = 0; matches && k < kernels.size(); ++k) programs[rows[k]] = &kernels[k];
  }
  for (std::size_t k = 0; matches && k < programs.size(); ++k) {
    if (programs[k] == nullptr) {
      matches = result.kernels[k].messages.has_value();
    } else {
      matches = content_hash(*programs[k]) == result.kernels[k].hash;
    }
  }
  if (!matches) {
    throw ConfigError("the run's kernels are not those that this version maps its scenario to; run the scenario again");
  }
  return programs;
}

KernelSavings kernel_savings(const PassInput& input, const std::vector<const hardware::TileProgram*>& programs,
                             const RunResult& result, const KernelFunction& analytical) {
  KernelSavings savings(programs.size());
  const auto time = [&](const hardware::TileProgram& program, const hardware::GpuSpec& gpu) {
    return analytical(program, gpu, input.evaluation.options).time.count();
  };
  std::vector<double> before;
  for (const hardware::TileProgram* program : programs)
    before.push_back(program == nullptr ? 0 : time(*program, input.gpu));
  for (const ResourceChange& change : resource_changes()) {
    hardware::GpuSpec gpu = input.gpu;
    change.apply(gpu);
    for (std::size_t k = 0; k < programs.size(); ++k) {
      const double ratio = before[k] > 0 ? time(*programs[k], gpu) / before[k] : 1;
      savings[k].push_back(std::max(0.0, (1 - ratio) * result.kernels[k].result.time.count()));
    }
  }
  return savings;
}

// Adds an operator's time, reasons and savings to a node above it (or to its own). `sums`: one entry per resource.
struct Node {
  ExplanationNode node;
  std::vector<double> sums = std::vector<double>(resource_changes().size(), 0.0);

  void add(const OperatorRow& row, const KernelSavings& savings) {
    const auto repeat = static_cast<double>(row.repeat);
    node.time += Seconds(row.total_seconds());
    for (std::size_t r = 0; r < kCycleReasonCount; ++r) node.reason_seconds[r] += row.reason_seconds[r] * repeat;
    for (const std::size_t kernel : row.kernels) {
      for (std::size_t c = 0; c < sums.size(); ++c) sums[c] += savings[kernel][c] * repeat;
    }
  }

  ExplanationNode finish(Seconds latency) {
    node.share = latency.count() > 0 ? node.time / latency : 0;
    for (std::size_t c = 0; c < sums.size(); ++c) {
      const double share = node.time.count() > 0 ? sums[c] / node.time.count() : 0;
      if (share >= kNegligible) node.savings.push_back({resource_changes()[c].name, Seconds(sums[c]), share});
    }
    std::stable_sort(node.savings.begin(), node.savings.end(),
                     [](const Saving& a, const Saving& b) { return a.saved > b.saved; });
    return std::move(node);
  }
};

Node named(const std::string& name, const std::string& kind, std::uint64_t repeat) {
  Node node;
  node.node.name = name;
  node.node.kind = kind;
  node.node.repeat = repeat;
  return node;
}

}  // namespace

ExplanationNode explain(const PassInput& input, const std::vector<MappedOperator>& mapped, const RunResult& result,
                        const KernelFunction& analytical) {
  const KernelSavings savings = kernel_savings(input, programs_of(mapped, result), result, analytical);
  Node root = named(result.model + " " + result.phase + " on " + result.machine, "", 1);
  std::vector<std::string> order;
  std::map<std::string, Node> sections;
  for (const OperatorRow& row : result.operators) {
    if (sections.count(row.section) == 0) {
      order.push_back(row.section);
      sections.emplace(row.section, named(row.section, "", row.repeat));
    }
    Node leaf = named(row.name, row.kind, row.repeat);
    leaf.add(row, savings);
    Node& section = sections.at(row.section);
    section.add(row, savings);
    section.node.children.push_back(leaf.finish(result.latency));
    root.add(row, savings);
  }
  for (const std::string& name : order) {
    ExplanationNode section = sections.at(name).finish(result.latency);
    std::stable_sort(section.children.begin(), section.children.end(),
                     [](const ExplanationNode& a, const ExplanationNode& b) { return a.time > b.time; });
    root.node.children.push_back(std::move(section));
  }
  return root.finish(result.latency);
}

}  // namespace lightcone::scenarios
