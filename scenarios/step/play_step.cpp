// SPDX-License-Identifier: Apache-2.0
#include "scenarios/step/play_step.h"

#include <fmt/core.h>

#include <algorithm>
#include <limits>
#include <queue>
#include <stdexcept>
#include <tuple>

#include "scenarios/step/share_rates.h"

namespace lightcone::scenarios {
namespace {

constexpr double kInstant = 1e-12;  // seconds of work left that are rounding, not work

struct Running {
  std::uint32_t task = 0;
  std::size_t phase = 0;
  double left = 0;  // seconds of the phase, at rate 1
  double rate = 1;
};

struct Device {
  std::array<std::vector<std::uint32_t>, kStreamCount> queues;  // tasks in order
  std::array<std::size_t, kStreamCount> next{};                 // the first that has not started
  std::array<bool, kStreamCount> busy{};
  std::vector<Running> running;
  double updated = 0;
  std::uint64_t version = 0;  // of the rates: events of older ones are void
};

class Player {
 public:
  explicit Player(const StepGraph& graph)
      : graph_(graph), devices_(graph.devices), waits_(graph.tasks.size(), 0), then_(graph.tasks.size()) {
    played_.tasks.resize(graph.tasks.size());
    for (std::uint32_t t = 0; t < graph.tasks.size(); ++t) {
      const StepTask& task = graph.tasks[t];
      devices_[task.device].queues[static_cast<std::size_t>(task.stream)].push_back(t);
      for (const std::uint32_t needed : task.needs) then_[needed].push_back(t);
      waits_[t] = task.needs.size();
    }
  }

  PlayedStep run() {
    for (std::uint32_t d = 0; d < devices_.size(); ++d) touched_.push_back(d);
    service();
    while (!events_.empty()) {
      const auto [time, device, version] = events_.top();
      events_.pop();
      if (version != devices_[device].version) continue;
      now_ = time;
      touched_.push_back(device);
      service();
    }
    if (ended_ != graph_.tasks.size()) {
      throw std::logic_error(fmt::format("the step halts with {} tasks left", graph_.tasks.size() - ended_));
    }
    played_.time = Seconds(now_);
    return std::move(played_);
  }

 private:
  // Devices on which something changed: bring them up to date, start what can start, and say when to look again.
  void service() {
    while (!touched_.empty()) {
      const std::uint32_t d = touched_.back();
      touched_.pop_back();
      advance(devices_[d]);
      start(devices_[d]);
      set_rates(d);
    }
  }

  void advance(Device& device) {
    const double passed = now_ - device.updated;
    device.updated = now_;
    for (std::size_t i = 0; i < device.running.size();) {
      if (work(device.running[i], passed)) {
        ++i;
        continue;
      }
      const std::uint32_t task = device.running[i].task;
      device.running.erase(device.running.begin() + static_cast<std::ptrdiff_t>(i));
      end(task);
    }
  }

  // False when the task's last phase has ended.
  bool work(Running& running, double passed) {
    const std::vector<StepPhase>& phases = graph_.works[graph_.tasks[running.task].work].phases;
    while (running.phase < phases.size()) {
      const double able = passed * running.rate;
      if (running.left - able > kInstant) {
        running.left -= able;
        return true;
      }
      passed = std::max(0.0, passed - running.left / running.rate);
      if (++running.phase < phases.size()) running.left = phases[running.phase].time.count();
    }
    return false;
  }

  void end(std::uint32_t t) {
    const StepTask& task = graph_.tasks[t];
    played_.tasks[t].end = Seconds(now_);
    devices_[task.device].busy[static_cast<std::size_t>(task.stream)] = false;
    ++ended_;
    for (const std::uint32_t later : then_[t]) {
      if (--waits_[later] == 0) touched_.push_back(graph_.tasks[later].device);
    }
  }

  void start(Device& device) {
    for (std::size_t s = 0; s < kStreamCount; ++s) {
      while (!device.busy[s] && device.next[s] < device.queues[s].size() &&
             waits_[device.queues[s][device.next[s]]] == 0) {
        const std::uint32_t t = device.queues[s][device.next[s]++];
        const StepWork& work = graph_.works[graph_.tasks[t].work];
        played_.tasks[t].start = Seconds(now_);
        if (work.phases.empty()) {
          end(t);
          s = 0;  // another stream may have waited for it
          continue;
        }
        device.busy[s] = true;
        device.running.push_back({t, 0, work.phases.front().time.count(), 1});
      }
    }
  }

  void set_rates(std::uint32_t d) {
    Device& device = devices_[d];
    ++device.version;
    if (device.running.empty()) return;
    double soonest = std::numeric_limits<double>::infinity();
    if (device.running.size() == 1) {  // alone: every phase at its own speed, one event for all of them
      Running& alone = device.running.front();
      alone.rate = 1;
      const std::vector<StepPhase>& phases = graph_.works[graph_.tasks[alone.task].work].phases;
      soonest = alone.left;
      for (std::size_t p = alone.phase + 1; p < phases.size(); ++p) soonest += phases[p].time.count();
    } else {
      std::vector<const Demand*> demands;
      for (const Running& r : device.running) {
        demands.push_back(&graph_.works[graph_.tasks[r.task].work].phases[r.phase].demand);
      }
      const std::vector<double> rates = share_rates(demands);
      for (std::size_t i = 0; i < rates.size(); ++i) {
        device.running[i].rate = rates[i];
        soonest = std::min(soonest, device.running[i].left / rates[i]);
      }
    }
    events_.emplace(now_ + soonest, d, device.version);
  }

  using Event = std::tuple<double, std::uint32_t, std::uint64_t>;  // time, device, version of its rates

  const StepGraph& graph_;
  std::vector<Device> devices_;
  std::vector<std::size_t> waits_;                // of each task: needed ones that have not ended
  std::vector<std::vector<std::uint32_t>> then_;  // of each task: those that need it
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::vector<std::uint32_t> touched_;
  double now_ = 0;
  std::size_t ended_ = 0;
  PlayedStep played_;
};

}  // namespace

PlayedStep play(const StepGraph& graph) { return Player(graph).run(); }

}  // namespace lightcone::scenarios
