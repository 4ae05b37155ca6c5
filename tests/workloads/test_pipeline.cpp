// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <tuple>

#include "catch.h"
#include "workloads/schedule/divide_layers.h"
#include "workloads/schedule/pipeline.h"
#include "workloads/schedule/play_pipeline.h"

namespace lightcone::workloads {
namespace {

constexpr double kForward = 3, kInput = 4, kWeight = 2;  // of a whole stage; unequal, so that mistakes do not cancel

// Times of a stage's task; chunks share the stage's work.
PipelineTiming timing(const PipelineShape& shape, Seconds hand_over = Seconds(0)) {
  return {[shape](std::uint32_t, const StageTask& task) {
            const std::map<StageWork, double> times{{StageWork::forward, kForward},
                                                    {StageWork::backward, kInput + kWeight},
                                                    {StageWork::input_gradient, kInput},
                                                    {StageWork::weight_gradient, kWeight}};
            return Seconds(times.at(task.work) / shape.chunks);
          },
          hand_over};
}

std::vector<PipelineShape> shapes() {
  std::vector<PipelineShape> all;
  for (const std::uint32_t stages : {1u, 2u, 3u, 4u, 7u, 8u, 16u}) {
    for (const std::uint32_t micro_batches : {1u, 2u, 3u, 5u, 8u, 16u, 33u}) {
      for (const PipelineSchedule schedule :
           {PipelineSchedule::gpipe, PipelineSchedule::one_f_one_b, PipelineSchedule::zero_bubble}) {
        all.push_back({schedule, stages, 1, micro_batches});
      }
    }
    for (const std::uint32_t chunks : {2u, 3u, 4u, 8u}) {
      for (const std::uint32_t groups : {1u, 2u, 3u, 5u}) {
        all.push_back({PipelineSchedule::interleaved, stages, chunks, stages * groups});
      }
    }
  }
  return all;
}

// Where each task of a stage stands in time.
using Key = std::tuple<std::uint32_t, StageWork, std::uint32_t, std::uint32_t>;
std::map<Key, PlayedTask> by_key(const PlayedPipeline& played) {
  std::map<Key, PlayedTask> found;
  for (std::uint32_t s = 0; s < played.stages.size(); ++s) {
    for (const PlayedTask& entry : played.stages[s]) {
      const bool fresh = found.emplace(Key{s, entry.task.work, entry.task.chunk, entry.task.micro_batch}, entry).second;
      REQUIRE(fresh);
    }
  }
  return found;
}

}  // namespace

TEST_CASE("every schedule runs to its end and keeps every dependency", "[pipeline]") {
  for (const PipelineShape& shape : shapes()) {
    INFO("schedule " << int(shape.schedule) << ", P " << shape.stages << ", V " << shape.chunks << ", M "
                     << shape.micro_batches);
    REQUIRE(faults(shape).empty());
    const Seconds hand_over(0.25);
    const PlayedPipeline played = play(shape, timing(shape, hand_over));
    const auto found = by_key(played);
    const std::size_t kinds = shape.splits_backward() ? 3 : 2;
    REQUIRE(found.size() == kinds * shape.stages * shape.chunks * shape.micro_batches);
    for (const auto& [key, entry] : found) {
      const std::uint32_t stage = std::get<0>(key);
      for (const StageTaskAt& needed : needed_by(shape, stage, entry.task)) {
        const PlayedTask& before =
            found.at({needed.stage, needed.task.work, needed.task.chunk, needed.task.micro_batch});
        const Seconds way = needed.stage == stage ? Seconds(0) : hand_over;
        REQUIRE(before.end + way <= entry.start);
      }
    }
  }
}

TEST_CASE("a forward waits for the part before it and a backward for the part behind it", "[pipeline]") {
  const PipelineShape shape{PipelineSchedule::interleaved, 4, 2, 8};
  const auto needed = [&](std::uint32_t stage, StageWork work, std::uint32_t chunk) {
    return needed_by(shape, stage, {work, chunk, 5});
  };
  CHECK(needed(0, StageWork::forward, 0).empty());
  REQUIRE(needed(0, StageWork::forward, 1).size() == 1);
  CHECK(needed(0, StageWork::forward, 1)[0].stage == 3);
  CHECK(needed(0, StageWork::forward, 1)[0].task == StageTask{StageWork::forward, 0, 5});
  REQUIRE(needed(3, StageWork::backward, 0).size() == 2);
  CHECK(needed(3, StageWork::backward, 0)[1].stage == 0);
  CHECK(needed(3, StageWork::backward, 0)[1].task == StageTask{StageWork::backward, 1, 5});
  REQUIRE(needed(3, StageWork::backward, 1).size() == 1);  // the loss follows: only its own forward
  CHECK(needed(3, StageWork::backward, 1)[0].task == StageTask{StageWork::forward, 1, 5});
}

TEST_CASE("bubbles are those of the papers", "[pipeline]") {
  for (const PipelineShape& shape : shapes()) {
    INFO("schedule " << int(shape.schedule) << ", P " << shape.stages << ", V " << shape.chunks << ", M "
                     << shape.micro_batches);
    const double p = shape.stages, m = shape.micro_batches, v = shape.chunks;
    const PlayedPipeline played = play(shape, timing(shape));
    CHECK(played.busy[0].count() == Approx(m * (kForward + kInput + kWeight)));
    switch (shape.schedule) {
      case PipelineSchedule::gpipe:  // (P - 1) / M of the work, (P - 1) / (M + P - 1) of the time
      case PipelineSchedule::one_f_one_b:
        CHECK(played.bubble() == Approx((p - 1) / m).margin(1e-9));
        break;
      case PipelineSchedule::interleaved:  // (P - 1) / (V M): Narayanan et al. 2021, section 2.2.2
        CHECK(played.bubble() == Approx((p - 1) / (v * m)).margin(1e-9));
        break;
      case PipelineSchedule::zero_bubble:  // (P - 1) (T_F + T_B - T_W): Qi et al. 2024, table 1; holds from M = P
        if (m >= p) {
          CHECK(played.time.count() ==
                Approx(m * (kForward + kInput + kWeight) + (p - 1) * (kForward + kInput - kWeight)));
        }
        break;
    }
  }
}

TEST_CASE("activations in flight", "[pipeline]") {
  for (const PipelineShape& shape : shapes()) {
    const std::uint32_t m = shape.micro_batches;
    for (std::uint32_t stage = 0; stage < shape.stages; ++stage) {
      INFO("schedule " << int(shape.schedule) << ", P " << shape.stages << ", V " << shape.chunks << ", M " << m
                       << ", stage " << stage);
      const std::uint32_t held = most_in_flight(stage_tasks(shape, stage));
      switch (shape.schedule) {
        case PipelineSchedule::gpipe:
          CHECK(held == m);
          break;
        case PipelineSchedule::one_f_one_b:
          CHECK(held == std::min(m, shape.stages - stage));
          break;
        case PipelineSchedule::interleaved:  // Korthikanti et al. 2022: 1 + (P - 1) / (P V) of all layers on stage 0
          CHECK(held ==
                std::min(m * shape.chunks, 2 * (shape.stages - stage - 1) + (shape.chunks - 1) * shape.stages + 1));
          break;
        case PipelineSchedule::zero_bubble:
          CHECK(held <= std::min(m, shape.stages));  // as the first stage of 1F1B
          break;
      }
    }
  }
}

TEST_CASE("schedules that do not exist are refused in words", "[pipeline]") {
  CHECK(faults({PipelineSchedule::one_f_one_b, 4, 1, 1}).empty());
  REQUIRE(faults({PipelineSchedule::one_f_one_b, 4, 2, 8}).size() == 1);
  CHECK(faults({PipelineSchedule::one_f_one_b, 4, 2, 8})[0].find("interleaved") != std::string::npos);
  REQUIRE(faults({PipelineSchedule::interleaved, 4, 2, 10}).size() == 1);
  CHECK(faults({PipelineSchedule::interleaved, 4, 2, 10})[0].find("multiple of its 4 stages") != std::string::npos);
  CHECK(faults({PipelineSchedule::interleaved, 4, 1, 8}).size() == 1);
  CHECK(faults({PipelineSchedule::gpipe, 0, 1, 8}).size() == 1);
}

TEST_CASE("layers are divided evenly, with embedding and head as layers where that helps", "[pipeline]") {
  for (std::uint64_t layers = 1; layers <= 130; ++layers) {
    for (const std::uint64_t parts : {1u, 2u, 3u, 4u, 8u, 16u, 128u}) {
      if (!layers_fault(layers, parts).empty()) continue;
      const std::vector<std::uint64_t> each = divide_layers(layers, parts);
      REQUIRE(each.size() == parts);
      std::uint64_t sum = 0;
      for (const std::uint64_t count : each) sum += count;
      REQUIRE(sum == layers);
      for (std::size_t i = 1; i + 1 < each.size(); ++i) REQUIRE(each[i] == (layers + 2) / parts);
    }
  }
  CHECK(divide_layers(126, 16) == std::vector<std::uint64_t>{7, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 7});
  CHECK(divide_layers(8, 4) == std::vector<std::uint64_t>(4, 2));
  CHECK(layers_fault(8, 3).empty());
  CHECK(divide_layers(8, 3) == std::vector<std::uint64_t>{3, 3, 2});
  CHECK(layers_fault(8, 7).find("8 layers cannot be divided over 7 parts") != std::string::npos);
}

}  // namespace lightcone::workloads
