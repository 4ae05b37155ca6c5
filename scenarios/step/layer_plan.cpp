// SPDX-License-Identifier: Apache-2.0
#include "scenarios/step/layer_plan.h"

#include <optional>

namespace lightcone::scenarios {
namespace {

class Planner {
 public:
  explicit Planner(StepGraph& graph) : graph_(graph) {}

  LayerPlan plan(const std::vector<StepOperator>& operators) {
    for (std::size_t i = 0; i < operators.size();) {
      const StepOperator& op = operators[i];
      if (op.collective) {
        collective(op);
        ++i;
      } else if (is_weight_gradient(operators, i + 1)) {
        i = gradients(operators, i);
      } else {
        kernel(op);
        ++i;
      }
    }
    plan_.open = waiting_;
    return std::move(plan_);
  }

 private:
  static bool is_weight_gradient(const std::vector<StepOperator>& operators, std::size_t i) {
    return i < operators.size() && operators[i].weight_gradient && !operators[i].collective;
  }

  std::uint32_t work_of(const StepOperator& op) {
    graph_.names.push_back(op.name);
    graph_.works.emplace_back();
    add_phase(static_cast<std::uint32_t>(graph_.works.size() - 1), op, false);
    return static_cast<std::uint32_t>(graph_.works.size() - 1);
  }
  void add_phase(std::uint32_t work, const StepOperator& op, bool name = true) {
    if (name) graph_.names.push_back(op.name);
    graph_.works[work].phases.push_back(
        {op.time, op.demand, static_cast<std::uint32_t>(graph_.names.size() - 1), op.energy});
  }

  std::uint32_t add(const StepOperator& op, Stream stream, std::vector<std::uint32_t> needs) {
    plan_.items.push_back(
        {stream, stream == Stream::layer ? StepKind::layer_collective : op.kind, work_of(op), std::move(needs), false});
    return static_cast<std::uint32_t>(plan_.items.size() - 1);
  }

  // A kernel behind all that must be waited for; it joins the row of kernels before it where nothing stands between.
  void kernel(const StepOperator& op) {
    const bool joins = row_ && waiting_.empty() && plan_.items[*row_].kind == op.kind;
    if (joins) {
      add_phase(plan_.items[*row_].work, op);
      return;
    }
    const bool first = !last_kernel_;
    row_ = last_kernel_ = add(op, Stream::compute, std::move(waiting_));
    plan_.items.back().needs_before = first;
    waiting_.clear();
  }

  // A collective that the next kernel waits for.
  void collective(const StepOperator& op) {
    std::vector<std::uint32_t> needs;
    if (last_kernel_) needs.push_back(*last_kernel_);
    const std::uint32_t item = add(op, Stream::layer, std::move(needs));
    plan_.items[item].needs_before = !last_kernel_;
    waiting_.push_back(item);
    row_.reset();
  }

  // The gradient of the input at `i`, gradients of weights behind it, and collectives behind these. Returns the first
  // operator that has not been planned.
  std::size_t gradients(const std::vector<StepOperator>& operators, std::size_t i) {
    const std::optional<std::uint32_t> before = last_kernel_;
    row_.reset();
    const std::vector<std::uint32_t> awaited = waiting_;
    kernel(operators[i]);
    const std::uint32_t input = *last_kernel_;
    const std::size_t first = ++i;
    while (is_weight_gradient(operators, i)) ++i;
    const std::size_t last = i;
    std::vector<std::uint32_t> gathered, sums;
    for (; i < operators.size() && operators[i].collective; ++i) {
      if (operators[i].again) {
        std::vector<std::uint32_t> needs = awaited;
        if (before) needs.push_back(*before);
        gathered.push_back(add(operators[i], Stream::layer, std::move(needs)));
        plan_.items.back().needs_before = !before;
      } else {
        sums.push_back(add(operators[i], Stream::layer, {input}));
      }
    }
    row_.reset();
    waiting_ = gathered;
    for (std::size_t w = first; w < last; ++w) kernel(operators[w]);
    if (!sums.empty()) row_.reset();
    waiting_ = sums;
    return i;
  }

  StepGraph& graph_;
  LayerPlan plan_;
  std::optional<std::uint32_t> row_;          // the row of kernels that a further one may join
  std::optional<std::uint32_t> last_kernel_;  // on the compute stream
  std::vector<std::uint32_t> waiting_;        // collectives that the next kernel waits for
};

}  // namespace

LayerPlan plan_layer(const std::vector<StepOperator>& operators, StepGraph& graph) {
  return Planner(graph).plan(operators);
}

std::vector<StepOperator> without_weight_gradients(const std::vector<StepOperator>& operators) {
  std::vector<StepOperator> kept;
  for (const StepOperator& op : operators) {
    if (!op.weight_gradient && !op.again) kept.push_back(op);
  }
  return kept;
}

std::vector<StepOperator> weight_gradients(const std::vector<StepOperator>& operators) {
  std::vector<StepOperator> kept;
  for (std::size_t i = 0; i < operators.size(); ++i) {
    if (!operators[i].weight_gradient) continue;
    const std::size_t first = i;
    while (i < operators.size() && operators[i].weight_gradient) ++i;
    for (std::size_t c = i; c < operators.size() && operators[c].collective; ++c) {
      if (operators[c].again) kept.push_back(operators[c]);
    }
    for (std::size_t w = first; w < i; ++w) {
      kept.push_back(operators[w]);
      kept.back().kind = StepKind::weight_gradient;
    }
    --i;
  }
  return kept;
}

}  // namespace lightcone::scenarios
