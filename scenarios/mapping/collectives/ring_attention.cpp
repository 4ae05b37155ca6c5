// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/collectives/ring_attention.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "scenarios/mapping/collectives/collective_task.h"
#include "sim/base/checked.h"
#include "sim/base/error.h"

namespace lightcone::scenarios {

namespace {

using hardware::MessageBlock;
using hardware::MessageProgram;
using hardware::MessageStep;
using hardware::MessageWorker;
using hardware::WorkerClass;
using workloads::ContextScheme;

// What a rank computes in a round: its own block, or one from so many ranks before.
models::Attention round_of(const RingAttention& op, bool own) {
  models::Attention a = op.block;
  if (own || !a.causal) return a;
  switch (op.scheme) {
    case ContextScheme::zigzag:  // all queries see the earlier half of the keys, or the later half sees all
      a.causal = false;
      a.kv_len = ceil_div(a.kv_len, std::uint64_t{2});
      return a;
    case ContextScheme::striped:  // the triangle, one diagonal up or down
      return a;
    default:
      a.causal = false;
      return a;
  }
}

// Workers of a rank: 0 computes; then a sender and a receiver for each channel.
class Builder {
 public:
  Builder(const RingAttention& op, const CollectiveTask& task, const OperatorTime& time)
      : op_(op), task_(task), ranks_(task.ranks()), channels_(task.constants.point_to_point_channels) {
    const models::Attention& a = op.block;
    const std::uint64_t keys = checked_product("ring attention", {a.batch, a.kv_len, a.kv_heads});
    const Bytes block = storage(a.kv, checked_product("ring attention", {keys, a.head_dim + a.v_dim()}));
    piece_ = part_of(block, channels_);
    own_ = time(round_of(op, true));
    other_ = time(round_of(op, false));
    for (const models::Operator& step : merging()) other_ += time(step);
  }

  MessageProgram build() {
    program_ = empty_program(task_, fmt::format("ring_attention_{}_{}ch", name(), channels_));
    program_.start = Picoseconds(0);
    // Computing ranks differ where the first of them have nothing to do with later blocks.
    const bool differ = op_.block.causal && op_.scheme == ContextScheme::ring;
    for (std::uint32_t rank = 0; rank < (differ ? ranks_ : 1); ++rank) {
      add_compute(differ ? rank : ranks_ - 1);
    }
    add_class("send", true);
    add_class("receive", false);
    for (std::uint32_t rank = 0; rank < ranks_; ++rank) add_workers(rank, differ ? rank : 0);
    if (!differ) program_.symmetry.assign(ranks_, 0);
    return std::move(program_);
  }

 private:
  [[nodiscard]] const char* name() const {
    if (op_.scheme == ContextScheme::zigzag) return "zigzag";
    return op_.scheme == ContextScheme::striped ? "striped" : "contiguous";
  }
  // out - sigmoid(block_lse - lse) (out - block_out), one PyTorch kernel per operation: the block's result in single
  // precision, the difference, its product with a factor per row, the sum. (ring_flash_attn/utils.py scripts them; the
  // measured rounds are as long as unfused kernels make them.)
  [[nodiscard]] std::vector<models::Operator> merging() const {
    using models::ElementwiseKind;
    const models::Attention& a = op_.block;
    const std::uint64_t values = checked_product("ring attention", {a.batch, a.q_len, a.heads, a.v_dim()});
    const NumberFormat single = NumberFormat::fp32;
    return {models::Elementwise{ElementwiseKind::copy, values, a.o_format(), single},
            models::Elementwise{ElementwiseKind::add, values, single, single},
            models::Elementwise{ElementwiseKind::scale, values, single, single},
            models::Elementwise{ElementwiseKind::add, values, single, single}};
  }

  // Rounds: hand the block to the senders, compute, take the next from the receivers. Rank r of contiguous blocks has
  // work in the rounds up to r.
  void add_compute(std::uint32_t last_round) {
    WorkerClass own;
    own.name = "compute";
    for (std::uint32_t round = 0; round < ranks_; ++round) {
      std::vector<MessageStep> steps;
      const bool passes = round + 1 < ranks_;
      for (std::uint16_t c = 0; passes && c < channels_; ++c) steps.push_back(hand(true, c));
      MessageStep compute;
      if (round <= last_round) compute.compute = to_picoseconds(round == 0 ? own_ : other_);
      steps.push_back(compute);
      for (std::uint16_t c = 0; passes && c < channels_; ++c) {
        steps.push_back(hand(false, static_cast<std::uint16_t>(channels_ + c)));
      }
      own.blocks.push_back({1, {{1, std::move(steps)}}});
    }
    program_.classes.push_back(std::move(own));
  }
  static MessageStep hand(bool sends, std::uint16_t peer) {
    MessageStep step;
    (sends ? step.send : step.receive) = peer;
    return step;
  }

  // Peers of a sender: the computing worker, the next rank's receiver; of a receiver: the same, the rank before.
  void add_class(const char* label, bool sends) {
    WorkerClass own;
    own.name = label;
    own.rate = std::max(task_.constants.point_to_point_rate, ring_bandwidth(task_) * (1.0 / channels_));
    own.step_overhead = to_picoseconds(task_.constants.simple.step_overhead);
    own.sms = sends ? 1 : 0;
    std::vector<MessageStep> steps;
    if (sends) steps.push_back(hand(false, 0));
    for (const Bytes slice : pieces(piece_, task_.constants.simple.step)) {
      MessageStep step = hand(sends, 1);
      step.bytes = slice;
      (sends ? step.local_read : step.local_written) = slice;
      steps.push_back(step);
    }
    if (!sends) steps.push_back(hand(true, 0));
    own.blocks.push_back({ranks_ - std::uint64_t{1}, {{1, std::move(steps)}}});
    program_.classes.push_back(std::move(own));
  }

  void add_workers(std::uint32_t rank, std::uint32_t compute_class) {
    const auto per_rank = 1 + 2 * channels_;
    const auto at = [&](std::uint32_t r, std::uint32_t w) { return r % ranks_ * per_rank + w; };
    const auto classes = static_cast<std::uint16_t>(program_.classes.size());
    MessageWorker compute;
    compute.rank = rank;
    compute.worker_class = static_cast<std::uint16_t>(compute_class);
    for (std::uint32_t w = 1; w < per_rank; ++w) compute.peers.push_back(at(rank, w));
    program_.workers.push_back(std::move(compute));
    for (std::uint32_t w = 1; w < per_rank; ++w) {
      const bool sends = w <= channels_;
      MessageWorker worker;
      worker.rank = rank;
      worker.path = static_cast<std::uint16_t>((w - 1) % channels_);
      worker.worker_class = static_cast<std::uint16_t>(classes - (sends ? 2 : 1));
      worker.peers = {at(rank, 0), sends ? at(rank + 1, w + channels_) : at(rank + ranks_ - 1, w - channels_)};
      program_.workers.push_back(std::move(worker));
    }
  }

  const RingAttention& op_;
  const CollectiveTask& task_;
  std::uint32_t ranks_, channels_;
  Bytes piece_;
  Seconds own_, other_;
  MessageProgram program_;
};

}  // namespace

OperatorTime closed_form_time(const hardware::GpuSpec& gpu, const MappingOptions& mapping) {
  hardware::EvaluateOptions options;
  options.launch = mapping.launch;
  options.timeline = false;
  return [&gpu, mapping, options](const models::Operator& op) {
    Seconds sum;
    for (const hardware::TileProgram& kernel : map_operator(op, gpu, mapping).kernels) {
      sum += hardware::evaluate_analytical(kernel, gpu, options).time;
    }
    return sum;
  };
}

MessageProgram ring_attention_program(const RingAttention& op, const std::vector<std::uint32_t>& gpus,
                                      const hardware::MachineGraph& graph, const hardware::GpuSpec& gpu,
                                      const OperatorTime& time) {
  if (op.scheme == ContextScheme::ulysses || op.scheme == ContextScheme::gather) {
    throw ConfigError("ring attention: the scheme is ring, zigzag or striped");
  }
  if (gpus.size() < 2) throw ConfigError("ring attention: two ranks at least");
  CollectiveTask task;
  task.kind = models::CollectiveKind::send_receive;
  task.gpus = gpus;
  task.graph = &graph;
  task.constants = collective_constants(gpu);
  return Builder(op, task, time).build();
}

}  // namespace lightcone::scenarios
