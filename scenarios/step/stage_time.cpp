// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "scenarios/step/step_result.h"

namespace lightcone::scenarios {
namespace {

using Interval = std::pair<double, double>;
using Intervals = std::vector<Interval>;  // disjoint, in order

Intervals merged(Intervals all) {
  std::sort(all.begin(), all.end());
  Intervals out;
  for (const Interval& next : all) {
    if (next.second <= next.first) continue;
    if (!out.empty() && next.first <= out.back().second) {
      out.back().second = std::max(out.back().second, next.second);
    } else {
      out.push_back(next);
    }
  }
  return out;
}

// What of `all` lies outside `taken`.
Intervals without(const Intervals& all, const Intervals& taken) {
  Intervals out;
  std::size_t next = 0;
  for (auto [from, to] : all) {
    while (next < taken.size() && taken[next].second <= from) ++next;
    for (std::size_t i = next; i < taken.size() && taken[i].first < to; ++i) {
      if (taken[i].first > from) out.emplace_back(from, taken[i].first);
      from = std::max(from, taken[i].second);
    }
    if (from < to) out.emplace_back(from, to);
  }
  return out;
}

double length(const Intervals& all) {
  double sum = 0;
  for (const Interval& one : all) sum += one.second - one.first;
  return sum;
}

// Takes away what `busy` covers and says how much that was.
Seconds take(Intervals& idle, Intervals busy) {
  const double before = length(idle);
  idle = without(idle, merged(std::move(busy)));
  return Seconds(before - length(idle));
}

}  // namespace

StageTime stage_time(const StepGraph& graph, const PlayedStep& played, std::uint32_t device) {
  Intervals compute, layer, data, pipeline;
  StageTime time;
  for (std::size_t t = 0; t < graph.tasks.size(); ++t) {
    const StepTask& task = graph.tasks[t];
    const Interval span{played.tasks[t].start.count(), played.tasks[t].end.count()};
    if (task.kind == StepKind::send && (task.device == device || task.to == device)) pipeline.push_back(span);
    if (task.device != device) continue;
    if (task.stream == Stream::compute) {
      compute.push_back(span);
      time.compute += graph.works[task.work].time();
    }
    if (task.stream == Stream::layer) layer.push_back(span);
    if (task.stream == Stream::data) data.push_back(span);
  }
  Intervals idle{{0, played.time.count()}};
  time.slowed = take(idle, std::move(compute)) - time.compute;
  time.layer = take(idle, std::move(layer));
  time.data = take(idle, std::move(data));
  time.pipeline = take(idle, std::move(pipeline));
  time.bubble = Seconds(length(idle));
  return time;
}

}  // namespace lightcone::scenarios
