// SPDX-License-Identifier: Apache-2.0
#include "scenarios/step/build_step.h"

#include <map>

#include "catch.h"
#include "scenarios/step/gradient_buckets.h"
#include "scenarios/step/play_step.h"
#include "scenarios/step/unfold_step.h"
#include "workloads/schedule/play_pipeline.h"

namespace lightcone::scenarios {
namespace {

using workloads::PipelineSchedule;

StepOperator kernel(const char* name, double seconds, StepKind kind, bool weight_gradient = false) {
  StepOperator op;
  op.name = name;
  op.kind = kind;
  op.weight_gradient = weight_gradient;
  op.time = Seconds(seconds);
  op.demand.hbm = 0.3;
  op.demand.sm_elasticity = 1;
  return op;
}

StepOperator collective(const char* name, double seconds, StepKind kind, bool again = false) {
  StepOperator op;
  op.name = name;
  op.kind = kind;
  op.collective = true;
  op.again = again;
  op.time = Seconds(seconds);
  op.demand.links[0] = 1;
  return op;
}

// A layer of 1 s forward and 2 s backward with collectives of `exchange` seconds; `parameters` each.
struct Job {
  StepGraph graph;
  StepPlan plan;
  StepCosts costs;
  std::map<models::CollectiveKind, std::uint64_t> moved;  // parameters, over all data collectives of the graph

  Job(const workloads::PipelineShape& pipeline, const DataPlan& data, double exchange = 0, double send = 0,
      double per_parameter = 0, double sms = 0) {
    plan.pipeline = pipeline;
    plan.data = data;
    std::vector<StepOperator> forward{kernel("product", 1, StepKind::forward)};
    std::vector<StepOperator> backward{kernel("dgrad", 1, StepKind::backward),
                                       kernel("wgrad", 1, StepKind::backward, true)};
    if (exchange > 0) {
      forward.push_back(collective("sum", exchange, StepKind::forward));
      backward.push_back(collective("again", exchange, StepKind::backward, true));
      backward.push_back(collective("sum_backward", exchange, StepKind::backward));
    }
    StepSection layer;
    layer.forward = plan_layer(forward, graph);
    const bool split = pipeline.splits_backward();
    layer.backward = plan_layer(split ? without_weight_gradients(backward) : backward, graph);
    if (split) layer.weight_gradient = plan_layer(weight_gradients(backward), graph);
    layer.parameters = 10;
    plan.sections = {layer};
    plan.parts.assign(std::size_t{pipeline.stages} * pipeline.chunks, {0, 0});  // two layers each
    costs.data = [this, per_parameter, sms](models::CollectiveKind kind, std::uint64_t parameters) {
      moved[kind] += parameters;
      Demand demand;
      demand.links[1] = 1;
      demand.sms = sms;
      return one_phase(per_parameter * static_cast<double>(parameters), demand);
    };
    costs.optimiser = [this](std::uint64_t parameters) {
      return one_phase(0.01 * static_cast<double>(parameters), Demand{});
    };
    Demand link;
    link.links[1] = 1;
    costs.send = one_phase(send, link);
    build_step(plan, costs, graph);
  }

  std::uint32_t one_phase(double seconds, const Demand& demand) {
    StepWork work;
    if (seconds > 0) work.phases.push_back({Seconds(seconds), demand, 0, Joules(0)});
    graph.works.push_back(work);
    return static_cast<std::uint32_t>(graph.works.size() - 1);
  }
};

std::vector<workloads::PipelineShape> pipelines() {
  return {{PipelineSchedule::one_f_one_b, 1, 1, 3}, {PipelineSchedule::gpipe, 3, 1, 4},
          {PipelineSchedule::one_f_one_b, 4, 1, 8}, {PipelineSchedule::interleaved, 2, 3, 4},
          {PipelineSchedule::interleaved, 4, 2, 8}, {PipelineSchedule::zero_bubble, 4, 1, 8}};
}

}  // namespace

TEST_CASE("without communication the step is the pipeline and the optimiser", "[step]") {
  for (const workloads::PipelineShape& pipeline : pipelines()) {
    const Job job(pipeline, {});
    const auto played =
        workloads::play(pipeline, {[](std::uint32_t, const workloads::StageTask& task) {
                                     return Seconds(task.work == workloads::StageWork::backward ? 4 : 2);  // two layers
                                   },
                                   Seconds(0)});
    const double parameters = 20.0 * pipeline.chunks;
    CHECK(play(job.graph).time.count() == Approx(played.time.count() + 0.01 * parameters));
  }
}

TEST_CASE("every plan of data and pipeline ranks runs to its end", "[step]") {
  for (const workloads::PipelineShape& pipeline : pipelines()) {
    for (const std::uint32_t zero : {0u, 1u, 2u, 3u}) {
      for (const bool overlap : {false, true}) {
        INFO("schedule " << int(pipeline.schedule) << ", stages " << pipeline.stages << ", zero " << zero);
        Job job(pipeline, {4, zero, overlap, 1}, 0.125, 0.25, 0.01);
        const PlayedStep played = play(job.graph);
        for (std::size_t t = 0; t < job.graph.tasks.size(); ++t) {
          for (const std::uint32_t needed : job.graph.tasks[t].needs) {
            REQUIRE(played.tasks[needed].end <= played.tasks[t].start);
          }
        }
        const std::uint64_t all = 20 * pipeline.stages * pipeline.chunks, passes = pipeline.micro_batches;
        using models::CollectiveKind;
        CHECK(job.moved[CollectiveKind::all_reduce] == (zero == 0 ? all : 0));
        CHECK(job.moved[CollectiveKind::reduce_scatter] == (zero == 0 ? 0 : zero == 1 ? all : all * passes));
        const std::uint64_t ways = pipeline.splits_backward() ? 3 : 2;  // passes that read the weights
        CHECK(job.moved[CollectiveKind::all_gather] == (zero == 1 || zero == 2 ? all
                                                        : zero == 3            ? ways * all * passes
                                                                               : 0));
      }
    }
  }
}

TEST_CASE("gradients are reduced beside the last backward as their buckets fill", "[step]") {
  const workloads::PipelineShape one{PipelineSchedule::one_f_one_b, 1, 1, 2};
  // Two layers of 10 parameters, 0.05 s each to reduce: the first layer's can only begin when all is done.
  CHECK(play(Job(one, {}).graph).time.count() == Approx(12 + 0.2));
  CHECK(play(Job(one, {2, 0, true, 1}, 0, 0, 0.05).graph).time.count() == Approx(12 + 0.5 + 0.2));
  CHECK(play(Job(one, {2, 0, true, 1000}, 0, 0, 0.05).graph).time.count() == Approx(12 + 1.0 + 0.2));
  CHECK(play(Job(one, {2, 0, false, 1}, 0, 0, 0.05).graph).time.count() == Approx(12 + 1.0 + 0.2));
  // A quarter of the SMs is gone for half a second: an eighth of a second of kernels is still to do.
  CHECK(play(Job(one, {2, 0, true, 1}, 0, 0, 0.05, 0.25).graph).time.count() == Approx(12 + 0.125 + 0.5 + 0.2));
}

TEST_CASE("ZeRO 1 updates a part and gathers the weights before they are needed", "[step]") {
  const workloads::PipelineShape one{PipelineSchedule::one_f_one_b, 1, 1, 2};
  const double optimiser = 0.2 / 2;
  // The first layer's weights come before the first forward, the second's beside it.
  CHECK(play(Job(one, {2, 1, true, 1}, 0, 0, 0.05).graph).time.count() == Approx(0.5 + 12 + 0.5 + optimiser));
  CHECK(play(Job(one, {2, 1, false, 1}, 0, 0, 0.05).graph).time.count() == Approx(12 + 1.0 + optimiser + 1.0));
}

TEST_CASE("a stage of 1F1B waits for its messages, one of the interleaved schedule does not", "[step]") {
  const double send = 0.5;
  const Job waits({PipelineSchedule::one_f_one_b, 2, 1, 4}, {}, 0, send);
  const Job goes_on({PipelineSchedule::interleaved, 2, 2, 4}, {}, 0, send);
  const Job free({PipelineSchedule::interleaved, 2, 2, 4}, {}, 0, 0);
  const double pure = play(Job({PipelineSchedule::one_f_one_b, 2, 1, 4}, {}).graph).time.count();
  CHECK(play(waits.graph).time.count() > pure + 4 * send);
  CHECK(play(goes_on.graph).time.count() < play(free.graph).time.count() + 8 * send);  // of 16 that each stage sends
}

TEST_CASE("sums of gradients hide behind the gradients of weights, sums of results do not", "[step]") {
  const workloads::PipelineShape one{PipelineSchedule::one_f_one_b, 1, 1, 1};
  // Forward of two layers: 2 (1 + x). Backward: the gathering beside dgrad, the sum beside wgrad, while x <= 1.
  CHECK(play(Job(one, {}, 0.5).graph).time.count() == Approx(2 * 1.5 + 2 * 2 + 0.2));
  CHECK(play(Job(one, {}, 1.5).graph).time.count() == Approx(2 * 2.5 + 2 * 3 + 0.2));
}

TEST_CASE("a step with every rank a device takes as long as the folded one", "[step]") {
  for (const workloads::PipelineShape& pipeline : pipelines()) {
    for (const std::uint32_t zero : {0u, 1u, 3u}) {
      const Job job(pipeline, {4, zero, true, 1}, 0.125, 0.25, 0.013, 0.1);
      const StepGraph all = unfold(job.graph, {2, 4});
      REQUIRE(all.devices == 8 * pipeline.stages);
      const PlayedStep folded = play(job.graph), unfolded = play(all);
      CHECK(unfolded.time == folded.time);  // to the last bit
      for (std::size_t t = 0; t < job.graph.tasks.size(); ++t) {
        for (std::size_t r = 0; r < 8; ++r) REQUIRE(unfolded.tasks[2 * (t * 8 + r) + 1].end == folded.tasks[t].end);
      }
    }
  }
}

TEST_CASE("one slow rank holds up all that share its sums", "[step]") {
  const Job job({PipelineSchedule::one_f_one_b, 1, 1, 2}, {2, 0, true, 1}, 0.125, 0, 0.01);
  StepGraph all = unfold(job.graph, {2, 2});
  const Seconds before = play(all).time;
  StepWork slow = all.works[all.tasks[1].work];
  for (StepPhase& phase : slow.phases) phase.time = phase.time * 3;
  all.works.push_back(slow);
  all.tasks[1].work = static_cast<std::uint32_t>(all.works.size() - 1);  // the first kernel of rank 0
  CHECK(play(all).time.count() == Approx(before.count() + 2));
}

TEST_CASE("buckets hold whole layers, from the last to the first", "[step]") {
  const std::vector<GradientBucket> buckets = gradient_buckets({5, 10, 10, 10, 0}, 15);
  REQUIRE(buckets.size() == 2);
  CHECK((buckets[0].first == 2 && buckets[0].last == 4 && buckets[0].parameters == 20));
  CHECK((buckets[1].first == 0 && buckets[1].last == 1 && buckets[1].parameters == 15));
  CHECK(gradient_buckets({0, 0}, 15).empty());
}

}  // namespace lightcone::scenarios
