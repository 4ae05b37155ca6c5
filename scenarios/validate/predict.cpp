// SPDX-License-Identifier: Apache-2.0
#include "scenarios/validate/predict.h"

#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <iterator>
#include <map>
#include <numeric>
#include <thread>
#include <utility>

#include "scenarios/mapping/collectives/map_collective.h"
#include "scenarios/mapping/collectives/ring_attention.h"
#include "scenarios/mapping/map_operator.h"
#include "scenarios/run/evaluate_messages.h"
#include "scenarios/validate/replays.h"
#include "scenarios/validate/row_to_operator.h"
#include "scenarios/validate/timing.h"
#include "sim/base/error.h"

namespace lightcone::scenarios {

namespace {

using hardware::LaunchMode;

// A point on its way: its machine and its kernels, or the reason why it has none.
struct MappedWork {
  const PredictionMachine* machine = nullptr;
  MappingOptions options;
  TimingConvention timing = TimingConvention::graph_replay;
  std::uint32_t calls = 0;  // between the two events of one measurement; 0: many
  std::vector<hardware::TileProgram> kernels;
  std::string note;
  const PredictionFabric* fabric = nullptr;  // of a collective, which has messages and no kernels
  hardware::MessageProgram messages;
};

void append(std::string& notes, const std::string& note) {
  if (note.empty()) return;
  if (!notes.empty()) notes += "; ";
  notes += note;
}

// The smallest machine that has the ranks as they were: in one domain, or so many in each of several.
const PredictionFabric* fabric_for(const PredictionMachine& machine, std::uint64_t ranks, std::uint32_t nodes) {
  for (const auto& fabric : machine.fabrics) {
    const hardware::MachineGraph& graph = fabric->graph;
    if (graph.level_size(0) < ranks / nodes) continue;
    if (nodes == 1 || graph.gpu_count() / graph.level_size(0) >= nodes) return fabric.get();
  }
  return nullptr;
}

void map_to_messages(const models::Communication& op, const MappedPoint& mapped, const PredictionMachine& machine,
                     MappedWork& work) {
  const PredictionFabric* fabric = fabric_for(machine, op.ranks, mapped.nodes);
  if (fabric == nullptr) {
    throw ConfigError(
        fmt::format("no machine of the catalog has {} GPUs of this kind on {} nodes", op.ranks, mapped.nodes));
  }
  std::vector<std::uint32_t> gpus;
  const auto per_node = static_cast<std::uint32_t>(op.ranks / mapped.nodes);
  for (std::uint32_t rank = 0; rank < op.ranks; ++rank) {
    gpus.push_back(rank / per_node * fabric->graph.level_size(0) + rank % per_node);
  }
  MappedCollective collective = map_collective(op, gpus, fabric->graph, machine.gpu, mapped.collective);
  work.fabric = fabric;
  work.messages = std::move(collective.program);
  append(work.note, fabric->name + ": " + collective.note);
}

void map_to_ring(const models::Attention& block, const MappedPoint& mapped, const PredictionMachine& machine,
                 MappedWork& work) {
  const PredictionFabric* fabric = fabric_for(machine, mapped.ranks, 1);
  if (fabric == nullptr) {
    throw ConfigError(fmt::format("no machine of the catalog has {} GPUs of this kind in one domain", mapped.ranks));
  }
  std::vector<std::uint32_t> gpus(mapped.ranks);
  std::iota(gpus.begin(), gpus.end(), 0u);
  work.fabric = fabric;
  work.messages = ring_attention_program({block, *mapped.ring}, gpus, fabric->graph, machine.gpu,
                                         closed_form_time(machine.gpu, mapped.options));
  append(work.note, fabric->name + ": " + work.messages.name);
}

MappedWork map_point(const OperatingPoint& point, const MachineLookup& lookup) {
  MappedWork work;
  RowMapping row = map_row(point);
  if (!row.mapped) {
    work.note = row.reason;
    return work;
  }
  const PredictionMachine* machine = lookup(point.gpu);
  if (machine == nullptr) {
    work.note = "no machine is known for gpu \"" + point.gpu + "\"";
    return work;
  }
  work.options = row.mapped->options;
  work.timing = row.mapped->timing;
  work.calls = calls_measured(point, work.options.library);
  append(work.note, row.mapped->note);
  try {
    for (const models::Operator& op : row.mapped->operators) {
      if (row.mapped->ring) {
        map_to_ring(std::get<models::Attention>(op), *row.mapped, *machine, work);
        continue;
      }
      if (const auto* communication = std::get_if<models::Communication>(&op)) {
        map_to_messages(*communication, *row.mapped, *machine, work);
        continue;
      }
      KernelSequence sequence = map_operator(op, machine->gpu, work.options);
      std::move(sequence.kernels.begin(), sequence.kernels.end(), std::back_inserter(work.kernels));
      append(work.note, sequence.note);
    }
    work.machine = machine;
  } catch (const ConfigError& error) {
    work.note = error.what();
  }
  return work;
}

// Mapping is pure: points are shared out among threads, which are gone before any child process is started.
std::vector<MappedWork> map_points(const std::vector<OperatingPoint>& points, const MachineLookup& lookup,
                                   unsigned threads, Progress& progress) {
  std::vector<MappedWork> work(points.size());
  std::atomic<std::size_t> next{0};
  const auto share = [&] {
    for (std::size_t i = next++; i < points.size(); i = next++) work[i] = map_point(points[i], lookup);
  };
  progress.start("mapping", 1);
  {
    std::vector<std::jthread> helpers;
    for (unsigned t = 1; t < std::min<std::size_t>(std::max(threads, 1u), points.size()); ++t) {
      helpers.emplace_back(share);
    }
    share();
  }
  progress.finish();
  return work;
}

Prediction no_prediction(PredictionState state, std::string note) { return Prediction{state, 0, {}, std::move(note)}; }

// The prediction of one point from its evaluated kernels.
Prediction conclude(const MappedWork& work, const std::vector<EvaluatedKernel>& evaluated, std::size_t first) {
  std::vector<KernelResult> results;
  const KernelResult* longest = nullptr;
  for (std::size_t i = first; i < first + work.kernels.size(); ++i) {
    if (!evaluated[i].error.empty()) return no_prediction(PredictionState::failed, evaluated[i].error);
    results.push_back(evaluated[i].result);
    if (longest == nullptr || evaluated[i].result.time > longest->time) longest = &evaluated[i].result;
  }
  if (longest == nullptr) return no_prediction(PredictionState::unsupported, "the mapping made no kernel");
  const Seconds time = observed_time(work.timing, results, work.machine->gpu.launch, work.calls);
  return Prediction{PredictionState::predicted, time.count() * 1e6, longest->bound_by(), work.note};
}

void evaluate_collectives(const PredictionFabric& fabric, const std::vector<std::size_t>& members,
                          const std::vector<MappedWork>& work, const EvaluationSettings& settings,
                          const Workbench& bench, std::vector<Prediction>& predictions) {
  std::vector<hardware::MessageProgram> programs;
  for (const std::size_t i : members) programs.push_back(work[i].messages);
  const hardware::GpuSpec& gpu = work[members.front()].machine->gpu;
  const std::vector<EvaluatedKernel> evaluated =
      evaluate_messages(programs, fabric.graph, fabric.hash, gpu, settings, bench);
  for (std::size_t m = 0; m < members.size(); ++m) {
    const MappedWork& one = work[members[m]];
    Prediction& out = predictions[members[m]];
    if (!evaluated[m].error.empty()) {
      out = no_prediction(PredictionState::failed, evaluated[m].error);
      continue;
    }
    const Seconds time = observed_time(one.timing, {evaluated[m].result}, gpu.launch, one.calls);
    out = {PredictionState::predicted, time.count() * 1e6, evaluated[m].messages->bound_by, one.note};
  }
}

// Points that share a machine and a launch mode are evaluated in one go.
using Batch = std::pair<const PredictionMachine*, LaunchMode>;

void evaluate_batch(const Batch& batch, const std::vector<std::size_t>& members, const std::vector<MappedWork>& work,
                    const EvaluationSettings& settings, const Workbench& bench, std::vector<Prediction>& predictions) {
  EvaluationSettings batch_settings = settings;
  batch_settings.options.launch = batch.second;
  batch_settings.options.timeline = false;
  std::vector<hardware::TileProgram> programs;
  for (const std::size_t i : members) programs.insert(programs.end(), work[i].kernels.begin(), work[i].kernels.end());
  const std::vector<EvaluatedKernel> evaluated =
      evaluate_kernels(programs, batch.first->gpu, batch.first->gpu_hash, batch_settings, bench);
  std::size_t first = 0;
  for (const std::size_t i : members) {
    predictions[i] = conclude(work[i], evaluated, first);
    first += work[i].kernels.size();
  }
}

}  // namespace

std::vector<Prediction> predict_points(const std::vector<OperatingPoint>& points, const MachineLookup& machine,
                                       const EvaluationSettings& settings, const Workbench& bench) {
  const std::vector<MappedWork> work = map_points(points, machine, bench.pool.jobs(), bench.progress);
  std::vector<Prediction> predictions(points.size());
  std::vector<std::pair<Batch, std::vector<std::size_t>>> batches;  // in order of first appearance
  std::map<const PredictionFabric*, std::vector<std::size_t>> collectives;
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (work[i].machine == nullptr) {
      predictions[i] = no_prediction(PredictionState::unsupported, work[i].note);
      continue;
    }
    if (work[i].fabric != nullptr) {
      collectives[work[i].fabric].push_back(i);
      continue;
    }
    const Batch batch{work[i].machine, work[i].options.launch};
    auto found = std::find_if(batches.begin(), batches.end(), [&](const auto& entry) { return entry.first == batch; });
    if (found == batches.end()) found = batches.insert(batches.end(), {batch, {}});
    found->second.push_back(i);
  }
  for (const auto& [fabric, members] : collectives) {
    evaluate_collectives(*fabric, members, work, settings, bench, predictions);
  }
  for (const auto& [batch, members] : batches) evaluate_batch(batch, members, work, settings, bench, predictions);
  return predictions;
}

}  // namespace lightcone::scenarios
