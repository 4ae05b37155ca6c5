// SPDX-License-Identifier: Apache-2.0
// Legal plans, and for every rule a plan that breaks it alone, refused under its field with the nearest legal values.
#include <string>

#include "catch.h"
#include "models/load.h"
#include "workloads/plan_rules.h"

using namespace lightcone;
using namespace lightcone::workloads;

namespace {

WorkloadSpec prefill(std::uint64_t batch, std::uint64_t tokens) {
  WorkloadSpec w;
  w.phase = Prefill{batch, tokens};
  return w;
}
WorkloadSpec decode(std::uint64_t batch) {
  WorkloadSpec w;
  w.phase = Decode{batch, 4096};
  return w;
}
WorkloadSpec training(std::uint64_t micro_batches) {
  WorkloadSpec w;
  w.phase = Training{1, 8192, micro_batches, models::Recomputation::none, NumberFormat::fp32};
  return w;
}

// "field: message" of each fault, one per line.
std::string refusal(const PlanSpec& plan, const WorkloadSpec& workload, const char* model = "llama3_1_70b") {
  std::string out;
  for (const PlanFault& fault : plan_faults(plan, models::load_model(model), workload, plan.gpus())) {
    out += fault.field + ": " + fault.message + "\n";
  }
  return out;
}

PlanSpec tensor(std::uint32_t ranks, bool sequence_parallel = false) {
  PlanSpec plan;
  plan.tensor = ranks;
  plan.sequence_parallel = sequence_parallel;
  return plan;
}

}  // namespace

TEST_CASE("plans of the Llama 3 report and of serving engines are legal") {
  for (const std::uint32_t ranks : {1, 2, 4, 8}) {
    REQUIRE(refusal(tensor(ranks), prefill(1, 4096)).empty());
    REQUIRE(refusal(tensor(ranks), decode(64)).empty());
    if (ranks > 1) REQUIRE(refusal(tensor(ranks, true), decode(64)).empty());
  }
  PlanSpec llama = tensor(8, true);  // Llama 3, table 4: 8 x 16 x 128
  llama.pipeline = 16;
  llama.data = 128;
  llama.zero = 2;
  REQUIRE(refusal(llama, training(16), "llama3_1_405b").empty());  // embedding and head count as layers
  llama.pipeline = 12;
  REQUIRE(refusal(llama, training(16), "llama3_1_405b").find("does not divide 126 layers") != std::string::npos);
  PlanSpec experts;
  experts.data = experts.expert = 64;
  REQUIRE(refusal(experts, decode(128), "deepseek_v3").empty());
}

TEST_CASE("each rule is named under its field") {
  using Catch::Contains;
  PlanSpec plan;
  plan.sequence_parallel = true;
  REQUIRE_THAT(refusal(plan, prefill(1, 4096)), Contains("sequence_parallel: needs tensor above 1"));
  REQUIRE_THAT(refusal(tensor(3), prefill(1, 4096)), Contains("tensor 3 does not divide 64 heads; nearest: 2 or 4"));
  REQUIRE_THAT(refusal(tensor(8, true), decode(12)),
               Contains("sequence_parallel: 8 does not divide 12 tokens of a pass"));

  plan = {};
  plan.data = 4;
  plan.zero = 1;
  REQUIRE_THAT(refusal(plan, decode(8)), Contains("zero: divides the states of training"));
  plan.data = 1;
  REQUIRE_THAT(refusal(plan, training(1)), Contains("zero: needs data above 1"));

  plan = {};
  plan.pipeline = 7;
  REQUIRE_THAT(refusal(plan, training(8)), Contains("pipeline: 7 does not divide 80 layers; nearest: 5 or 8"));
  REQUIRE_THAT(refusal(plan, decode(8)), Contains("pipeline: is a division of training steps"));
  plan.pipeline = 4;
  plan.chunks = 2;
  REQUIRE_THAT(refusal(plan, training(8)), Contains("chunks: above 1 belong to the schedule interleaved"));
  plan.schedule = PipelineSchedule::interleaved;
  REQUIRE(refusal(plan, training(8)).empty());
  REQUIRE_THAT(refusal(plan, training(6)), Contains("pipeline: 4 does not divide 6 micro batches"));
  plan.chunks = 3;
  REQUIRE_THAT(refusal(plan, training(8)), Contains("chunks: 12 does not divide 80 layers (pipeline x chunks)"));

  plan = {};
  plan.context = 4;
  REQUIRE(refusal(plan, prefill(1, 4096)).empty());
  REQUIRE_THAT(refusal(plan, prefill(1, 4100)), Contains("context: 8 does not divide 4100 tokens"));
  REQUIRE_THAT(refusal(plan, decode(8)), Contains("context: divides the tokens of a prompt"));
  plan.context_scheme = ContextScheme::ulysses;
  plan.tensor = 32;
  REQUIRE_THAT(refusal(plan, prefill(1, 4096)), Contains("context 4 does not divide 2 heads of a tensor rank"));

  plan = {};
  plan.data = 6;
  plan.expert = 4;
  REQUIRE_THAT(refusal(plan, decode(8), "mixtral_8x7b"), Contains("expert: 4 does not divide 6 ranks"));
  plan.expert = 3;
  REQUIRE_THAT(refusal(plan, decode(8), "mixtral_8x7b"),
               Contains("expert 3 does not divide 8 experts; nearest: 2 or 4"));
}

TEST_CASE("the product must be the machine's GPUs, and replicas that would fill them are named") {
  const auto faults = [](const PlanSpec& plan, std::uint64_t gpus) {
    return plan_faults(plan, models::load_model("llama3_1_70b"), decode(8), gpus);
  };
  REQUIRE(faults(tensor(8), 8).empty());
  const auto fewer = faults(tensor(2), 8);
  REQUIRE(fewer.size() == 1);
  REQUIRE(fewer[0].field == "data");
  REQUIRE_THAT(fewer[0].message, Catch::Contains("is 2 GPUs, the machine has 8; data 4 would use them all"));
  REQUIRE(faults(tensor(8), 12).at(0).field.empty());
}

TEST_CASE("a plan in words names the dimensions above one") {
  PlanSpec plan = tensor(8, true);
  plan.data = 2;
  plan.zero = 1;
  REQUIRE(words(plan) == "tensor 8 (sequence parallel) x data 2 (ZeRO 1)");
  REQUIRE(words(PlanSpec{}) == "one GPU");
}
