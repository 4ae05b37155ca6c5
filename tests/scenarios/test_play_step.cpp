// SPDX-License-Identifier: Apache-2.0
#include "scenarios/step/play_step.h"

#include <stdexcept>

#include "catch.h"
#include "scenarios/step/share_rates.h"

namespace lightcone::scenarios {
namespace {

Demand kernel(double hbm, double elasticity = 1) {
  Demand demand;
  demand.hbm = hbm;
  demand.sm_elasticity = elasticity;
  return demand;
}

Demand collective(double sms, double hbm, double link, std::size_t kind = 0) {
  Demand demand;
  demand.sms = sms;
  demand.hbm = hbm;
  demand.links[kind] = link;
  return demand;
}

// A graph under construction: tasks of one phase.
struct Sketch {
  StepGraph graph;
  explicit Sketch(std::uint32_t devices) { graph.devices = devices; }
  std::uint32_t add(std::uint32_t device, Stream stream, double seconds, const Demand& demand,
                    std::vector<std::uint32_t> needs = {}) {
    StepWork work;
    if (seconds > 0) work.phases.push_back({Seconds(seconds), demand, 0, Joules(0)});
    graph.works.push_back(work);
    StepTask task;
    task.device = device;
    task.stream = stream;
    task.work = static_cast<std::uint32_t>(graph.works.size() - 1);
    task.needs = std::move(needs);
    graph.tasks.push_back(task);
    return static_cast<std::uint32_t>(graph.tasks.size() - 1);
  }
};

}  // namespace

TEST_CASE("alone, a phase runs at its own speed", "[step]") {
  const Demand all = kernel(1);
  CHECK(share_rates({&all})[0] == 1);
  CHECK(share_rates({}).empty());
}

TEST_CASE("a kernel has the SMs that a collective leaves it", "[step]") {
  const Demand gemm = kernel(0.2), half_bound = kernel(0.2, 0.5), copy = collective(0.25, 0.1, 0.9);
  CHECK(share_rates({&gemm, &copy})[0] == Approx(0.75));
  CHECK(share_rates({&half_bound, &copy})[0] == Approx(1 / (1 + 0.5 * (4.0 / 3 - 1))));
  CHECK(share_rates({&gemm, &copy})[1] == 1);  // nothing that the collective needs is exhausted
}

TEST_CASE("bandwidth is divided max-min fairly and never more than there is", "[step]") {
  const Demand a = kernel(0.9), b = collective(0, 0.3, 0.5), c = collective(0, 0.1, 0.8);
  const std::vector<double> rates = share_rates({&a, &b, &c});
  // b and c fill the link together (0.5 + 0.8 > 1) before the memory is full: both at 1 / 1.3.
  CHECK(rates[1] == Approx(1 / 1.3));
  CHECK(rates[2] == Approx(1 / 1.3));
  // a then takes what is left of the memory, which is less than it wants.
  CHECK(rates[0] == Approx((1 - 0.4 / 1.3) / 0.9));
  for (const double hbm_a : {0.0, 0.3, 1.0}) {
    for (const double link : {0.0, 0.4, 1.0}) {
      const Demand x = kernel(hbm_a), y = collective(0.1, 0.6, link), z = collective(0.1, 0.5, 1, 1);
      const std::vector<double> shared = share_rates({&x, &y, &z});
      CHECK(shared[0] * x.hbm + shared[1] * y.hbm + shared[2] * z.hbm <= 1 + 1e-12);
      for (const double rate : shared) CHECK((rate > 0 && rate <= 1));
    }
  }
}

TEST_CASE("tasks of a stream follow each other; streams overlap", "[step]") {
  Sketch sketch(1);
  const auto a = sketch.add(0, Stream::compute, 2, kernel(0.1));
  const auto b = sketch.add(0, Stream::compute, 1, kernel(0.1));
  const auto c = sketch.add(0, Stream::data, 1.5, collective(0, 0.1, 0.5));
  const auto d = sketch.add(0, Stream::data, 4, collective(0, 0.1, 0.5), {b});
  const PlayedStep played = play(sketch.graph);
  CHECK(played.tasks[a].end.count() == Approx(2));
  CHECK(played.tasks[b].start.count() == Approx(2));
  CHECK(played.tasks[c].end.count() == Approx(1.5));
  CHECK(played.tasks[d].start.count() == Approx(3));
  CHECK(played.time.count() == Approx(7));
}

TEST_CASE("a collective slows a kernel only while both run", "[step]") {
  Sketch sketch(1);
  const auto gemm = sketch.add(0, Stream::compute, 3, kernel(0.1));
  sketch.add(0, Stream::data, 1, collective(0.5, 0.1, 1));
  // For one second at half speed: half a second of work is still to do when the others have two and a half.
  CHECK(play(sketch.graph).tasks[gemm].end.count() == Approx(3.5));
}

TEST_CASE("phases of a task are shared one by one", "[step]") {
  Sketch sketch(1);
  StepWork work;
  work.phases = {{Seconds(1), kernel(0), 0, Joules(0)}, {Seconds(1), kernel(1), 0, Joules(0)}};
  sketch.graph.works.push_back(work);
  StepTask task;
  task.work = 0;
  sketch.graph.tasks.push_back(task);
  sketch.add(0, Stream::data, 4, collective(0, 0.5, 0));
  // The second phase and the collective need 1.5 of the memory: both run at 2/3 from 1 to 2.5.
  const PlayedStep played = play(sketch.graph);
  CHECK(played.tasks[0].end.count() == Approx(2.5));
  CHECK(played.tasks[1].end.count() == Approx(4.5));
}

TEST_CASE("tasks of other devices are waited for; a circle is refused", "[step]") {
  Sketch sketch(2);
  const auto first = sketch.add(0, Stream::compute, 1, kernel(0));
  const auto send = sketch.add(0, Stream::to_next, 0.5, collective(0, 0, 1), {first});
  const auto second = sketch.add(1, Stream::compute, 1, kernel(0), {send});
  const auto nothing = sketch.add(1, Stream::data, 0, Demand{}, {second});
  CHECK(play(sketch.graph).tasks[second].start.count() == Approx(1.5));
  CHECK(play(sketch.graph).tasks[nothing].end.count() == Approx(2.5));
  sketch.graph.tasks[first].needs = {second};
  CHECK_THROWS_AS(play(sketch.graph), std::logic_error);
}

}  // namespace lightcone::scenarios
