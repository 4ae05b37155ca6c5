// SPDX-License-Identifier: Apache-2.0
#include "scenarios/step/build_step.h"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

#include "scenarios/step/gradient_buckets.h"
#include "sim/base/checked.h"

namespace lightcone::scenarios {
namespace {

using models::CollectiveKind;
using workloads::StageTask;
using workloads::StageTaskAt;
using workloads::StageWork;

// A message of a pass to another stage.
using MessageKey = std::tuple<std::uint32_t, StageWork, std::uint32_t, std::uint32_t>;
MessageKey key(const StageTaskAt& at) { return {at.stage, at.task.work, at.task.chunk, at.task.micro_batch}; }

// Tasks that need a message which another stage has yet to add.
struct Messages {
  std::map<MessageKey, std::uint32_t> sent;
  std::vector<std::pair<std::uint32_t, MessageKey>> awaited;
};

class StageBuilder {
 public:
  StageBuilder(const StepPlan& plan, const StepCosts& costs, StepGraph& graph, Messages& messages, std::uint32_t stage)
      : plan_(plan), costs_(costs), graph_(graph), messages_(messages), stage_(stage) {
    for (std::uint32_t c = 0; c < plan.pipeline.chunks; ++c) {
      buckets_.emplace_back(gradient_buckets(parameters_of(c), bucket_size()));
      gathered_.emplace_back(part(c).size());
      backwards_left_.push_back(plan.pipeline.micro_batches);
    }
  }

  void build() {
    if (gathers_after_update() && plan_.data.overlap) gather_weights({});
    for (const StageTask& task : workloads::stage_tasks(plan_.pipeline, stage_)) pass(task);
    if (plan_.data.ranks > 1 && plan_.data.zero <= 1 && !plan_.data.overlap) {
      for (std::uint32_t c = plan_.pipeline.chunks; c-- > 0;) {
        for (const GradientBucket& bucket : buckets_[c]) reduce(bucket.parameters);
      }
    }
  }

  [[nodiscard]] std::optional<std::uint32_t> last_reduction() const { return last_reduction_; }

  void optimise(const std::vector<std::uint32_t>& reductions) {
    waiting_.insert(waiting_.end(), reductions.begin(), reductions.end());
    const std::uint64_t all = stage_parameters(plan_, stage_);
    const std::uint64_t ranks = plan_.data.zero > 0 ? plan_.data.ranks : 1;
    const std::uint32_t task =
        add(Stream::compute, StepKind::optimiser, costs_.optimiser(ceil_div(all, ranks)), waiting_);
    if (gathers_after_update() && !plan_.data.overlap) gather_weights({task});
  }

 private:
  // Each rank updates its part of weights that all of them keep whole.
  [[nodiscard]] bool gathers_after_update() const {
    return plan_.data.ranks > 1 && (plan_.data.zero == 1 || plan_.data.zero == 2);
  }
  [[nodiscard]] const std::vector<std::uint32_t>& part(std::uint32_t chunk) const {
    return plan_.parts[std::size_t{chunk} * plan_.pipeline.stages + stage_];
  }
  [[nodiscard]] std::vector<std::uint64_t> parameters_of(std::uint32_t chunk) const {
    std::vector<std::uint64_t> parameters;
    for (const std::uint32_t section : part(chunk)) parameters.push_back(plan_.sections[section].parameters);
    return parameters;
  }
  [[nodiscard]] std::uint64_t bucket_size() const { return plan_.data.zero >= 2 ? 1 : plan_.data.bucket_parameters; }

  std::uint32_t add(Stream stream, StepKind kind, std::uint32_t work, std::vector<std::uint32_t> needs) {
    StepTask task;
    task.device = stage_;
    task.stream = stream;
    task.kind = kind;
    task.work = work;
    task.micro_batch = now_.micro_batch;
    task.chunk = now_.chunk;
    task.needs = std::move(needs);
    graph_.tasks.push_back(std::move(task));
    return static_cast<std::uint32_t>(graph_.tasks.size() - 1);
  }

  // One micro batch through the chunk's layers, forwards or backwards.
  void pass(const StageTask& task) {
    now_ = task;
    await_message();
    const bool forward = task.work == StageWork::forward;
    const std::size_t count = part(task.chunk).size();
    const bool first_forward = forward && task.micro_batch == 0;
    const bool finishes = task.work == StageWork::backward || task.work == StageWork::weight_gradient;
    const bool last = finishes && --backwards_left_[task.chunk] == 0;
    ahead_ = {};
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t unit = forward ? i : count - 1 - i;
      if (first_forward && gathered_[task.chunk][unit]) waiting_.push_back(*gathered_[task.chunk][unit]);
      if (plan_.data.zero == 3 && plan_.data.ranks > 1) gather_ahead(unit, i, count);
      layer(plan_of(plan_.sections[part(task.chunk)[unit]]));
      if (finishes && plan_.data.ranks > 1) reduce_filled(unit, last);
    }
    send();
  }

  [[nodiscard]] const LayerPlan& plan_of(const StepSection& section) const {
    switch (now_.work) {
      case StageWork::forward:
        return section.forward;
      case StageWork::weight_gradient:
        return section.weight_gradient;
      case StageWork::backward:
      case StageWork::input_gradient:
        break;
    }
    return section.backward;
  }

  void layer(const LayerPlan& plan) {
    std::vector<std::uint32_t> tasks, before = waiting_;
    if (last_kernel_) before.push_back(*last_kernel_);
    const std::optional<MessageKey> message = message_;
    for (const LayerItem& item : plan.items) {
      std::vector<std::uint32_t> needs;
      for (const std::uint32_t needed : item.needs) needs.push_back(tasks[needed]);
      if (item.needs_before) needs.insert(needs.end(), before.begin(), before.end());
      tasks.push_back(add(item.stream, item.kind, item.work, std::move(needs)));
      if (item.needs_before && message) messages_.awaited.emplace_back(tasks.back(), *message);
      if (item.stream != Stream::compute) continue;
      last_kernel_ = tasks.back();
      if (item.needs_before) {
        waiting_.clear();
        message_.reset();
      }
    }
    for (const std::uint32_t open : plan.open) waiting_.push_back(tasks[open]);
  }

  // What must come from another stage before this pass can begin.
  void await_message() {
    for (const StageTaskAt& needed : workloads::needed_by(plan_.pipeline, stage_, now_)) {
      if (needed.stage != stage_) message_ = key(needed);
    }
  }

  void send() {
    const bool forward = now_.work == StageWork::forward;
    if (plan_.pipeline.stages == 1 || now_.work == StageWork::weight_gradient) return;
    const std::uint32_t stages = plan_.pipeline.stages, chunks = plan_.pipeline.chunks;
    const bool at_the_end = forward ? stage_ + 1 == stages && now_.chunk + 1 == chunks : stage_ == 0 && now_.chunk == 0;
    if (at_the_end) return;
    std::vector<std::uint32_t> needs = waiting_;
    if (last_kernel_) needs.push_back(*last_kernel_);
    const std::uint32_t message =
        add(forward ? Stream::to_next : Stream::to_previous, StepKind::send, costs_.send, std::move(needs));
    graph_.tasks[message].to = (stage_ + (forward ? 1 : stages - 1)) % stages;
    if (message_) messages_.awaited.emplace_back(message, *message_);  // a part without layers hands on what it got
    messages_.sent[key({stage_, now_})] = message;
    if (plan_.pipeline.schedule != workloads::PipelineSchedule::interleaved) waiting_.push_back(message);
  }

  // ---- Data ranks --------------------------------------------------------------------------------------------------

  void gather_weights(const std::vector<std::uint32_t>& needs) {
    now_ = {};
    for (std::uint32_t c = 0; c < plan_.pipeline.chunks; ++c) {
      for (std::size_t b = buckets_[c].size(); b-- > 0;) {  // buckets are numbered as the backward fills them
        const GradientBucket& bucket = buckets_[c][b];
        const std::uint32_t task = add(Stream::data, StepKind::gather_weights,
                                       costs_.data(CollectiveKind::all_gather, bucket.parameters), needs);
        for (std::size_t unit = bucket.first; unit <= bucket.last; ++unit) gathered_[c][unit] = task;
      }
    }
  }

  // The weights of the unit, and of the one behind it, are gathered; at most two units' at a time.
  void gather_ahead(std::size_t unit, std::size_t position, std::size_t count) {
    const bool forward = now_.work == StageWork::forward;
    const auto gather = [&](std::size_t of) {
      const std::uint64_t parameters = plan_.sections[part(now_.chunk)[of]].parameters;
      std::vector<std::uint32_t> needs;
      if (last_kernel_) needs.push_back(*last_kernel_);
      return add(Stream::data, StepKind::gather_weights, costs_.data(CollectiveKind::all_gather, parameters),
                 std::move(needs));
    };
    if (!ahead_) ahead_ = gather(unit);
    waiting_.push_back(*ahead_);
    if (position + 1 < count) ahead_ = gather(forward ? unit + 1 : unit - 1);
  }

  void reduce_filled(std::size_t unit, bool last) {
    if (plan_.data.zero >= 2) {
      reduce(plan_.sections[part(now_.chunk)[unit]].parameters);
      return;
    }
    if (!last || !plan_.data.overlap) return;
    for (const GradientBucket& bucket : buckets_[now_.chunk]) {
      if (bucket.first == unit) reduce(bucket.parameters);  // the backward comes from the end of the part
    }
  }

  void reduce(std::uint64_t parameters) {
    std::vector<std::uint32_t> needs = waiting_;
    if (last_kernel_) needs.push_back(*last_kernel_);
    const CollectiveKind kind = plan_.data.zero == 0 ? CollectiveKind::all_reduce : CollectiveKind::reduce_scatter;
    last_reduction_ = add(Stream::data, StepKind::reduce_gradients, costs_.data(kind, parameters), std::move(needs));
  }

  const StepPlan& plan_;
  const StepCosts& costs_;
  StepGraph& graph_;
  Messages& messages_;
  std::uint32_t stage_;
  StageTask now_;
  std::vector<std::vector<GradientBucket>> buckets_;                 // by chunk
  std::vector<std::vector<std::optional<std::uint32_t>>> gathered_;  // by chunk and unit: the task that brings weights
  std::vector<std::uint32_t> backwards_left_;                        // by chunk
  std::optional<std::uint32_t> ahead_, last_kernel_, last_reduction_;
  std::vector<std::uint32_t> waiting_;  // what the next kernel needs besides the one before it
  std::optional<MessageKey> message_;   // likewise
};

}  // namespace

std::uint64_t stage_parameters(const StepPlan& plan, std::uint32_t stage) {
  std::uint64_t sum = 0;
  for (std::uint32_t c = 0; c < plan.pipeline.chunks; ++c) {
    for (const std::uint32_t section : plan.parts[std::size_t{c} * plan.pipeline.stages + stage]) {
      sum += plan.sections[section].parameters;
    }
  }
  return sum;
}

void build_step(const StepPlan& plan, const StepCosts& costs, StepGraph& graph) {
  graph.devices = plan.pipeline.stages;
  Messages messages;
  std::vector<StageBuilder> stages;
  for (std::uint32_t s = 0; s < plan.pipeline.stages; ++s) {
    stages.emplace_back(plan, costs, graph, messages, s);
    stages.back().build();
  }
  for (const auto& [task, message] : messages.awaited) graph.tasks[task].needs.push_back(messages.sent.at(message));
  std::vector<std::uint32_t> reductions;
  for (const StageBuilder& stage : stages) {
    if (stage.last_reduction()) reductions.push_back(*stage.last_reduction());
  }
  for (StageBuilder& stage : stages) stage.optimise(reductions);
}

}  // namespace lightcone::scenarios
