// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/collectives/map_collective.h"

#include <fmt/core.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "hardware/machine/evaluate_messages.h"
#include "scenarios/mapping/collectives/direct.h"
#include "scenarios/mapping/collectives/in_switch.h"
#include "scenarios/mapping/collectives/nccl_choice.h"
#include "scenarios/mapping/collectives/ring.h"
#include "sim/base/checked.h"
#include "sim/base/error.h"

namespace lightcone::scenarios {

namespace {

using hardware::MessageProgram;
using models::CollectiveKind;

// NCCL takes channels away, then threads, while a thread has fewer bytes than it is worth (src/enqueue.cc); of a ring
// by LL, in each of its parts (src/graph/tuning.cc).
std::uint32_t channels_for(const CollectiveTask& task, const ProtocolConstants& protocol, CollectiveProtocol which) {
  std::uint64_t least = std::uint64_t{protocol.threads} * protocol.thread_threshold;
  if (which == CollectiveProtocol::ll) least *= task.ranks();
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(task.bytes.count() / least, 1, full_channels(task)));
}

class Candidates {
 public:
  Candidates(const CollectiveTask& task, const CollectiveOptions& options) : task_(task), options_(options) {}

  std::vector<MessageProgram> all() {
    switch (task_.kind) {
      case CollectiveKind::all_to_all:
      case CollectiveKind::send_receive:
        if (wanted(CollectiveAlgorithm::direct)) add(direct_program(task_));
        break;
      case CollectiveKind::all_reduce:
        choose();
        if (wanted(CollectiveAlgorithm::in_switch) && in_switch_runs()) add(in_switch_program(task_));
        // vLLM's custom_all_reduce.py: 2, 4, 6 or 8 GPUs of one node.
        if (options_.library != CollectiveLibrary::nccl && node_count(task_) == 1 && task_.ranks() <= 8 &&
            task_.ranks() % 2 == 0) {
          if (wanted(CollectiveAlgorithm::one_shot)) add(shots_program(task_, false));
          if (wanted(CollectiveAlgorithm::two_shot)) add(shots_program(task_, true));
        }
        add_rings();
        break;
      case CollectiveKind::broadcast:
        add_rings();
        break;
      default:
        choose();
        add_rings();
    }
    return std::move(programs_);
  }

 private:
  [[nodiscard]] bool wanted(CollectiveAlgorithm algorithm) const {
    if (options_.algorithm) return *options_.algorithm == algorithm;
    const bool of_nccl = algorithm == CollectiveAlgorithm::ring || algorithm == CollectiveAlgorithm::in_switch;
    return !choice_ || !of_nccl || choice_->algorithm == algorithm;
  }
  [[nodiscard]] bool wanted(CollectiveProtocol protocol) const {
    if (options_.protocol) return *options_.protocol == protocol;
    return options_.algorithm || !choice_ || choice_->protocol == protocol;
  }
  // Inside a node NCCL goes by its own cost model; what the user fixes, and other fabrics, go by predicted time.
  void choose() {
    if (!options_.algorithm && !options_.protocol && node_count(task_) == 1) {
      choice_ = nccl_choice(task_, in_switch_runs());
    }
  }
  [[nodiscard]] bool in_switch_runs() const {
    return task_.constants.in_switch_rate.count() > 0 && task_.graph->reduces_in_switch(task_.gpus);
  }
  void add(MessageProgram program) { programs_.push_back(std::move(program)); }
  void add_rings() {
    if (!wanted(CollectiveAlgorithm::ring)) return;
    for (const CollectiveProtocol protocol :
         {CollectiveProtocol::ll, CollectiveProtocol::ll128, CollectiveProtocol::simple}) {
      if (!wanted(protocol)) continue;
      const ProtocolConstants& constants = protocol_constants(task_.constants, protocol);
      // Far beyond the sizes for which NCCL would take it, a protocol of small steps only costs time to describe.
      constexpr std::uint64_t kMostSteps = 4096;
      const std::uint32_t channels = options_.channels.value_or(channels_for(task_, constants, protocol));
      if (!options_.protocol && !choice_ && protocol != CollectiveProtocol::simple &&
          task_.bytes.count() / channels / constants.step.count() > kMostSteps)
        continue;
      add(ring_program(task_, protocol, channels));
    }
  }

  const CollectiveTask& task_;
  const CollectiveOptions& options_;
  std::optional<NcclChoice> choice_;
  std::vector<MessageProgram> programs_;
};

}  // namespace

MappedCollective map_collective(const models::Communication& op, const std::vector<std::uint32_t>& gpus,
                                const hardware::MachineGraph& graph, const hardware::GpuSpec& gpu,
                                const CollectiveOptions& options) {
  if (gpus.size() < 2) throw ConfigError(fmt::format("{}: two ranks at least", models::name(op.kind)));
  if (op.elements == 0) throw ConfigError(fmt::format("{}: no elements", models::name(op.kind)));
  if (*std::max_element(gpus.begin(), gpus.end()) >= graph.gpu_count()) {
    throw ConfigError(
        fmt::format("{}: {} ranks on a machine of {} GPUs", models::name(op.kind), gpus.size(), graph.gpu_count()));
  }
  CollectiveTask task;
  task.kind = op.kind;
  task.bytes = storage(op.format, op.elements);
  task.gpus = gpus;
  task.graph = &graph;
  task.constants = collective_constants(gpu);
  std::vector<MessageProgram> programs = Candidates(task, options).all();
  if (programs.empty()) {
    throw ConfigError(fmt::format("{}: no algorithm that is asked for runs on these ranks", models::name(op.kind)));
  }
  MappedCollective best;
  double least = std::numeric_limits<double>::infinity();
  const std::size_t count = programs.size();
  for (MessageProgram& program : programs) {
    const double time = hardware::evaluate_messages_analytical(program, graph).time.count();
    if (time >= least) continue;
    least = time;
    best.program = std::move(program);
  }
  best.note = fmt::format("{} of {} candidates, {:.1f} us predicted", best.program.name, count, least * 1e6);
  return best;
}

}  // namespace lightcone::scenarios
